// Models: docs/compatibility.md, "Models".

import { NotFoundError } from "openai";
import assert from "node:assert/strict";
import { IMAGE_MODEL, VIDEO_MODEL, open, refusal, scenario } from "./scenarios.mjs";

scenario("models are listed", async () => {
  const ids = [];
  for await (const model of open().models.list()) ids.push(model.id);
  assert.ok(ids.includes(IMAGE_MODEL) && ids.includes(VIDEO_MODEL) && ids.includes(`${IMAGE_MODEL}-landscape`));
  assert.equal(new Set(ids).size, ids.length);
});

scenario("a model is read", async () => {
  const model = await open().models.retrieve(VIDEO_MODEL);
  assert.deepEqual([model.id, model.object, model.owned_by], [VIDEO_MODEL, "model", "flow2api"]);
  assert.ok(model.durations_seconds.includes(8));
});

scenario("an unknown model is not found", async () => {
  const error = await refusal(open().models.retrieve("no-such-model"), NotFoundError);
  assert.equal(error.code, "model_not_found");
  assert.ok(error.requestID);
});
