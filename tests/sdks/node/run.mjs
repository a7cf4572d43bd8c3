// Runs every scenario against the gateway that the environment names: one line of JSON for each, as they end.

import { scenarios } from "./scenarios.mjs";
import "./models.mjs";
import "./chat.mjs";
import "./images.mjs";
import "./videos.mjs";
import "./webhooks.mjs";
import "./errors.mjs";

const AT_ONCE = 4;
const PATIENCE_MS = 90_000;

async function play({ name, run }) {
  const begun = performance.now();
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${PATIENCE_MS / 1000} s`)), PATIENCE_MS);
  });
  let error = null;
  try {
    await Promise.race([run(), late]);
  } catch (caught) {
    error = caught?.stack ?? String(caught);
  } finally {
    clearTimeout(timer);
  }
  console.log(JSON.stringify({ scenario: name, error, seconds: (performance.now() - begun) / 1000 }));
}

async function playFrom(queue) {
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    await play(next);
  }
}

const together = scenarios().filter(({ alone }) => !alone);
await Promise.all(Array.from({ length: AT_ONCE }, () => playFrom(together)));
await playFrom(scenarios().filter(({ alone }) => alone));
process.exit(0);
