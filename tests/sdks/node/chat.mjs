// Chat completions: docs/compatibility.md, "Chat".

import { APIUserAbortError } from "openai";
import assert from "node:assert/strict";
import {
  IMAGE_MODEL,
  VIDEO_MODEL,
  download,
  isPng,
  linkIn,
  makePicture,
  open,
  refusal,
  scenario,
  sizeOf,
} from "./scenarios.mjs";

const ask = (content) => [{ role: "user", content }];

scenario("a chat answers a picture", async () => {
  const answer = await open().chat.completions.create({ model: IMAGE_MODEL, messages: ask("a heron"), size: "1376x768" });
  assert.equal(answer.choices[0].finish_reason, "stop");
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
  const { bytes, type } = await download(linkIn(answer.choices[0].message.content));
  assert.deepEqual([type, sizeOf(bytes)], ["image/png", [1376, 768]]);
});

scenario("a chat streams its progress, the picture and the usage", async () => {
  const stream = await open().chat.completions.create({
    model: IMAGE_MODEL,
    messages: ask("a kingfisher"),
    stream: true,
    stream_options: { include_usage: true },
  });
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  const deltas = chunks.flatMap((chunk) => chunk.choices.map((choice) => choice.delta));
  assert.equal(new Set(chunks.map((chunk) => chunk.id)).size, 1);
  assert.equal(deltas[0].role, "assistant");
  assert.match(deltas.map((delta) => delta.reasoning_content ?? "").join(""), /generating/);
  assert.ok(isPng((await download(linkIn(deltas.map((delta) => delta.content ?? "").join("")))).bytes));
  assert.equal(chunks.at(-2).choices[0].finish_reason, "stop");
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.ok(Number.isInteger(chunks.at(-1).usage.total_tokens));
});

scenario("the helper for streams puts the answer together", async () => {
  const stream = open().chat.completions.stream({ model: IMAGE_MODEL, messages: ask("a grebe") });
  const contents = [];
  stream.on("content", (delta) => contents.push(delta));
  const final = await stream.finalChatCompletion();
  assert.equal(final.choices[0].message.content, contents.join(""));
  linkIn(final.choices[0].message.content);
});

scenario("a stream that is left in the middle ends at once", async () => {
  const stream = await open().chat.completions.create({
    model: IMAGE_MODEL,
    messages: ask("a slow heron [[fault:delay delay=3]]"),
    stream: true,
  });
  let content = "";
  for await (const chunk of stream) {
    content += chunk.choices[0].delta.content ?? "";
    stream.controller.abort();
  }
  assert.equal(content, "");
});

scenario("a request that is aborted before its answer ends at once", async () => {
  const controller = new AbortController();
  const asked = open().chat.completions.create(
    { model: IMAGE_MODEL, messages: ask("another slow heron [[fault:delay delay=3]]") },
    { signal: controller.signal },
  );
  setTimeout(() => controller.abort(), 200);
  await refusal(asked, APIUserAbortError);
});

scenario("a chat takes pictures, and goes on from its own", async () => {
  const client = open();
  const picture = `data:image/png;base64,${(await makePicture(client)).toString("base64")}`;
  const first = await client.chat.completions.create({
    model: IMAGE_MODEL,
    messages: ask([
      { type: "text", text: "the same at night" },
      { type: "image_url", image_url: { url: picture, detail: "high" } },
    ]),
  });
  const second = await client.chat.completions.create({
    model: IMAGE_MODEL,
    messages: [
      { role: "system", content: "Draw in ink." },
      ...ask("a boat"),
      first.choices[0].message,
      ...ask("now in the rain"),
    ],
  });
  const links = [first, second].map((answer) => linkIn(answer.choices[0].message.content));
  const [night, rain] = await Promise.all(links.map(download));
  assert.ok(isPng(rain.bytes) && !rain.bytes.equals(night.bytes));
});

scenario("a chat with n answers several choices", async () => {
  const answer = await open().chat.completions.create({ model: IMAGE_MODEL, messages: ask("two herons"), n: 2 });
  const [one, two] = answer.choices.map((choice) => linkIn(choice.message.content));
  assert.notEqual(one, two);
});

scenario("a chat answers a clip", async () => {
  const stream = await open().chat.completions.create({
    model: VIDEO_MODEL,
    messages: ask("waves"),
    seconds: 8,
    aspect_ratio: "16:9",
    stream: true,
  });
  let content = "";
  let progress = "";
  for await (const chunk of stream) {
    content += chunk.choices[0]?.delta.content ?? "";
    progress += chunk.choices[0]?.delta.reasoning_content ?? "";
  }
  const url = /<video src='(?<url>[^']+)'/.exec(content)?.groups.url;
  assert.ok(url && progress, content);
  assert.equal((await download(url)).type, "video/mp4");
});

scenario("a chat takes what front ends send besides", async () => {
  const answer = await open().chat.completions.create({
    model: IMAGE_MODEL,
    messages: [
      { role: "developer", content: [{ type: "text", text: "Be brief." }], name: "front-end" },
      ...ask("a text"),
      { role: "assistant", content: [{ type: "refusal", refusal: "No." }] },
      { role: "user", content: "look it up", name: "me" },
      { role: "assistant", content: null, tool_calls: [{ id: "call_1", type: "function", function: { name: "f", arguments: "{}" } }] },
      { role: "tool", tool_call_id: "call_1", content: "nothing" },
      ...ask("a stork"),
    ],
    stream_options: null,
    max_tokens: 4096,
    max_completion_tokens: null,
    temperature: 0.7,
    top_p: 1,
    presence_penalty: 0,
    tools: [],
    tool_choice: "auto",
    parallel_tool_calls: true,
    response_format: { type: "text" },
    reasoning_effort: "low",
    modalities: ["text"],
    service_tier: "auto",
    user: "user-1",
    safety_identifier: "one",
    metadata: { chat: "1" },
    store: false,
    stop: null,
    seed: 7,
    logit_bias: {},
    chat_id: "of the front end",
    features: { web_search: false },
  });
  linkIn(answer.choices[0].message.content);
});
