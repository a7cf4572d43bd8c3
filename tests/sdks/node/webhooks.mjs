// Webhooks: docs/compatibility.md, "Webhooks".

import { InvalidWebhookSignatureError } from "openai";
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { VIDEO_MODEL, environment, open, refusal, scenario } from "./scenarios.mjs";

/** Keeps what comes to the port that the gateway may reach. */
async function receiver() {
  const received = [];
  const server = createServer(async (request, response) => {
    const pieces = [];
    for await (const piece of request) pieces.push(piece);
    received.push({ headers: request.headers, body: Buffer.concat(pieces).toString() });
    response.writeHead(204).end();
    server.emit("received");
  });
  server.listen(Number(environment.RECEIVER_PORT), "127.0.0.1");
  await once(server, "listening");
  return { server, received, url: `http://127.0.0.1:${environment.RECEIVER_PORT}/node` };
}

scenario("a receiver is told how a video ended, and verifies it", async () => {
  const client = open();
  const { server, received, url } = await receiver();
  try {
    const endpoint = await client.webhooks.create({ name: "node", url, event_types: ["video.completed"] });
    const video = await client.videos.create({ model: VIDEO_MODEL, prompt: "told", seconds: "8" });
    // Other scenarios make videos with the same key meanwhile.
    const ofThisVideo = ({ body }) => body.includes(video.id);
    while (!received.some(ofThisVideo)) await once(server, "received");
    await client.webhooks.delete(endpoint.id);
    const { body, headers } = received.find(ofThisVideo);
    const event = await client.webhooks.unwrap(body, headers, endpoint.signing_secret);
    assert.deepEqual([event.object, event.type], ["event", "video.completed"]);
    assert.equal(event.data.id, video.id);
    const changed = client.webhooks.unwrap(body.replace("video.completed", "video.failed"), headers, endpoint.signing_secret);
    await refusal(changed, InvalidWebhookSignatureError);
  } finally {
    server.close();
    server.closeAllConnections();
  }
});

scenario("receivers are listed, read, changed and rotated", async () => {
  const client = open();
  const url = `http://127.0.0.1:${environment.RECEIVER_PORT}/kept`;
  const made = await client.webhooks.create({ name: "kept", url, event_types: ["video.failed"] });
  const changed = await client.webhooks.update(made.id, { name: "renamed" });
  assert.equal(changed.name, "renamed");
  assert.deepEqual((await client.webhooks.retrieve(made.id)).event_types, ["video.failed"]);
  const ids = [];
  for await (const each of client.webhooks.list()) ids.push(each.id);
  assert.ok(ids.includes(made.id));
  const rotated = await client.webhooks.rotateSecret(made.id, {});
  assert.notEqual(rotated.signing_secret, made.signing_secret);
  assert.equal((await client.webhooks.delete(made.id)).deleted, true);
});
