// Images: docs/compatibility.md, "Images".

import { BadRequestError, toFile } from "openai";
import assert from "node:assert/strict";
import { IMAGE_MODEL, download, isPng, makePicture, open, refusal, scenario, sizeOf } from "./scenarios.mjs";

const isWebp = (bytes) => bytes.subarray(8, 12).toString() === "WEBP";
const decoded = (image) => Buffer.from(image.b64_json, "base64");

scenario("pictures come as base64 in the format asked for", async () => {
  const answer = await open().images.generate({
    model: IMAGE_MODEL,
    prompt: "a lighthouse",
    size: "1536x1024",
    quality: "low",
    output_format: "webp",
    output_compression: 80,
    background: "opaque",
    moderation: "low",
    user: "user-1",
  });
  assert.ok(isWebp(decoded(answer.data[0])));
  const [width, height] = answer.size.split("x").map(Number);
  assert.ok(width > height);
  assert.equal(answer.output_format, "webp");
  assert.ok(Number.isInteger(answer.usage.input_tokens_details.text_tokens));
});

scenario("pictures come as links, all different", async () => {
  const answer = await open().images.generate({ model: IMAGE_MODEL, prompt: "a pier", n: 2, response_format: "url" });
  const pictures = await Promise.all(answer.data.map((image) => download(image.url)));
  assert.equal(pictures.length, 2);
  assert.ok(pictures.every(({ bytes, type }) => isPng(bytes) && type === "image/png"));
  assert.ok(!pictures[0].bytes.equals(pictures[1].bytes));
});

scenario("pictures come as events of a stream", async () => {
  const stream = await open().images.generate({
    model: IMAGE_MODEL,
    prompt: "a pier",
    n: 2,
    stream: true,
    partial_images: 1,
  });
  const events = [];
  for await (const event of stream) events.push(event);
  assert.deepEqual(events.map((event) => event.type), Array(2).fill("image_generation.completed"));
  assert.ok(events.every((event) => isPng(decoded(event)) && event.usage.total_tokens >= 0 && event.created_at > 0));
});

scenario("one picture is edited", async () => {
  const client = open();
  const image = await toFile(await makePicture(client), "boat.png", { type: "image/png" });
  const answer = await client.images.edit({ model: IMAGE_MODEL, prompt: "at night", image, size: "1024x1024" });
  const [width, height] = sizeOf(decoded(answer.data[0]));
  assert.equal(width, height);
});

scenario("several pictures are edited into several links", async () => {
  const client = open();
  const [boat, pier] = await Promise.all([makePicture(client), makePicture(client, "a pier")]);
  const answer = await client.images.edit({
    model: IMAGE_MODEL,
    prompt: "both",
    image: [new File([boat], "boat.png", { type: "image/png" }), await toFile(pier)],
    n: 2,
    input_fidelity: "high",
    response_format: "url",
  });
  assert.equal(new Set(answer.data.map((image) => image.url)).size, 2);
});

scenario("an edit comes as events of a stream", async () => {
  const client = open();
  const image = await toFile(await makePicture(client), "boat.png");
  const types = [];
  for await (const event of await client.images.edit({ model: IMAGE_MODEL, prompt: "red", image, stream: true })) {
    types.push(event.type);
  }
  assert.deepEqual(types, ["image_edit.completed"]);
});

scenario("a mask is refused by name", async () => {
  const client = open();
  const image = await toFile(await makePicture(client), "boat.png");
  const asked = client.images.edit({ model: IMAGE_MODEL, prompt: "red", image, mask: image });
  const error = await refusal(asked, BadRequestError);
  assert.deepEqual([error.param, error.code], ["mask", "unsupported_parameter"]);
});

scenario("a refused prompt is a bad request that is not repeated", async () => {
  const client = open({ maxRetries: 2 });
  const asked = client.images.generate({ model: IMAGE_MODEL, prompt: "[[fault:content]] refused" });
  const error = await refusal(asked, BadRequestError);
  assert.equal(error.code, "content_policy_violation");
  assert.equal(error.type, "image_generation_user_error");
  assert.equal(error.headers.get("x-should-retry"), "false");
});
