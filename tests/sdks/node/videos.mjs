// Videos: docs/compatibility.md, "Videos".

import { BadRequestError, NotFoundError, toFile } from "openai";
import assert from "node:assert/strict";
import { VIDEO_MODEL, finished, makePicture, open, refusal, scenario } from "./scenarios.mjs";

const WAVES = { model: VIDEO_MODEL, prompt: "waves", seconds: "8", size: "1280x720" };

scenario("a video is made and read in every variant", async () => {
  const client = open();
  const created = await client.videos.create(WAVES);
  assert.deepEqual([created.object, created.status, created.seconds], ["video", "queued", "8"]);
  const video = await finished(client, created);
  assert.deepEqual([video.status, video.progress, video.size, video.error], ["completed", 100, "1280x720", null]);
  assert.ok(video.completed_at >= video.created_at && video.expires_at > video.completed_at);
  const types = [];
  for (const variant of [undefined, "video", "thumbnail", "spritesheet"]) {
    const content = await client.videos.downloadContent(video.id, variant ? { variant } : {});
    assert.ok((await content.arrayBuffer()).byteLength > 100);
    types.push(content.headers.get("content-type"));
  }
  assert.deepEqual(types, ["video/mp4", "video/mp4", "image/webp", "image/jpeg"]);
});

scenario("a video begins with a picture: a file", async () => {
  const client = open();
  const frame = new File([await makePicture(client)], "frame.png", { type: "image/png" });
  const video = await finished(client, await client.videos.create({ ...WAVES, input_reference: frame }));
  assert.equal(video.status, "completed", JSON.stringify(video.error));
});

scenario("a video begins with a picture: an object with its URL", async () => {
  const client = open();
  const image_url = `data:image/png;base64,${(await makePicture(client)).toString("base64")}`;
  const video = await client.videos.create({ ...WAVES, input_reference: { image_url } });
  assert.equal((await finished(client, video)).status, "completed");
});

scenario("the list of videos is paged to its end, in both orders", async () => {
  const client = open();
  const made = [];
  for (let number = 0; number < 3; number++) made.push((await client.videos.create(WAVES)).id);
  const first = await client.videos.list({ limit: 2 });
  assert.equal(first.data.length, 2);
  assert.ok(first.hasNextPage());
  for (const [order, expected] of [["desc", made.toReversed()], ["asc", made]]) {
    const seen = [];
    for await (const video of client.videos.list({ limit: 2, order })) seen.push(video.id);
    assert.deepEqual(seen.filter((id) => made.includes(id)), expected);
    assert.equal(new Set(seen).size, seen.length);
  }
});

scenario("a deleted video is gone", async () => {
  const client = open();
  const video = await finished(client, await client.videos.create({ ...WAVES, prompt: "to be deleted" }));
  const deleted = await client.videos.delete(video.id);
  assert.deepEqual([deleted.id, deleted.deleted, deleted.object], [video.id, true, "video.deleted"]);
  await refusal(client.videos.retrieve(video.id), NotFoundError);
  await refusal(client.videos.downloadContent(video.id), NotFoundError);
});

scenario("a video is remixed, edited and extended", async () => {
  const client = open();
  const source = await finished(client, await client.videos.create(WAVES));
  const remixed = await client.videos.remix(source.id, { prompt: "at night" });
  assert.equal(remixed.remixed_from_video_id, source.id);
  const edited = await client.videos.edit({ prompt: "in the rain", video: { id: source.id } });
  const extended = await client.videos.extend({
    prompt: "the storm comes",
    seconds: "8",
    video: { id: source.id },
    model: "veo_3_1_extend",
  });
  for (const video of await Promise.all([remixed, edited, extended].map((each) => finished(client, each)))) {
    assert.equal(video.status, "completed", JSON.stringify(video.error));
  }
});

scenario("a refused video fails with a code", async () => {
  const client = open();
  const video = await finished(client, await client.videos.create({ ...WAVES, prompt: "[[fault:content]] refused" }));
  assert.deepEqual([video.status, video.error.code], ["failed", "content_policy_violation"]);
});

scenario("a video that is not ready has no content yet", async () => {
  const client = open({ maxRetries: 2 });
  const video = await client.videos.create({ ...WAVES, prompt: "[[fault:active]] for ever" });
  const error = await refusal(client.videos.downloadContent(video.id), BadRequestError);
  assert.equal(error.code, "video_not_ready");
  const cancelled = await client.post(`/videos/${video.id}/cancel`);
  assert.equal(cancelled.id, video.id);
  await client.videos.delete(video.id);
});

scenario("a length that the model lacks is refused by name", async () => {
  const error = await refusal(open().videos.create({ ...WAVES, seconds: "77" }), BadRequestError);
  assert.equal(error.param, "seconds");
});
