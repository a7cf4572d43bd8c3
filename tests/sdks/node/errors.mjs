// Errors, retries and repeats: docs/compatibility.md, "For every request".

import { AuthenticationError, BadRequestError, NotFoundError, RateLimitError } from "openai";
import assert from "node:assert/strict";
import { IMAGE_MODEL, environment, open, recording, refusal, scenario } from "./scenarios.mjs";

const PICTURE = { model: IMAGE_MODEL, prompt: "a boat" };

scenario("a wrong key is an authentication error", async () => {
  const error = await refusal(open({ apiKey: "sk-wrong" }).images.generate(PICTURE), AuthenticationError);
  assert.deepEqual([error.status, error.code, error.type], [401, "invalid_api_key", "invalid_request_error"]);
});

scenario("a wrong value is a bad request that names the field", async () => {
  for (const [fields, param, code] of [
    [{ size: "0x0" }, "size", "invalid_value"],
    [{ n: "two" }, "n", "invalid_type"],
    [{ prompt: undefined }, "prompt", "missing_required_parameter"],
  ]) {
    const error = await refusal(open().images.generate({ ...PICTURE, ...fields }), BadRequestError);
    assert.deepEqual([error.param, error.code], [param, code]);
    assert.ok(error.requestID);
  }
});

scenario("a model of nobody is not found", async () => {
  const asked = open().chat.completions.create({ model: "nobody", messages: [{ role: "user", content: "x" }] });
  assert.equal((await refusal(asked, NotFoundError)).code, "model_not_found");
});

scenario("a key that begins too much is a rate limit error", async () => {
  const client = open({ apiKey: environment.LIMITED_KEY });
  const { response } = await client.images.generate(PICTURE).withResponse();
  assert.equal(response.headers.get("x-ratelimit-remaining-requests"), "0");
  const error = await refusal(client.images.generate(PICTURE), RateLimitError);
  assert.deepEqual([error.status, error.code, error.type], [429, "rate_limit_exceeded", "rate_limit_error"]);
  assert.ok(Number(error.headers.get("retry-after")) >= 1);
});

scenario(
  "what was refused for now is repeated when it was said to",
  async () => {
    const { calls, fetch } = recording();
    const client = open({ maxRetries: 2, fetch });
    // As often as there are accounts.
    await client.images.generate({ ...PICTURE, prompt: "busy [[fault:429 retry_after=1 times=3]]" });
    assert.deepEqual(calls.map(({ response }) => response.status), [429, 200]);
    assert.equal(calls[0].response.headers.get("retry-after"), "1");
    assert.equal(calls[1].headers.get("x-stainless-retry-count"), "1");
  },
  { alone: true },
);

scenario("a repeat after a lost answer gets the same picture by its Idempotency-Key", async () => {
  const { calls, fetch: kept } = recording();
  let lost = 0;
  const loseTheFirst = async (url, init) => {
    const response = await kept(url, init);
    if (lost++ === 0) {
      await response.clone().arrayBuffer();
      throw new TypeError("fetch failed: the connection was lost");
    }
    return response;
  };
  const client = open({ maxRetries: 1, fetch: loseTheFirst });
  const headers = { "Idempotency-Key": `node-${crypto.randomUUID()}` };
  const answer = await client.images.generate(PICTURE, { headers });
  const [first, second] = calls;
  assert.equal(calls.length, 2);
  assert.equal(second.headers.get("idempotency-key"), headers["Idempotency-Key"]);
  assert.equal(second.response.headers.get("idempotency-replayed"), "true");
  assert.equal(answer.data[0].b64_json, (await first.response.json()).data[0].b64_json);
});
