// What every file of scenarios shares: their register, the client, and how answers are looked at.

import OpenAI from "openai";
import assert from "node:assert/strict";

export const IMAGE_MODEL = "gemini-3.1-flash-image";
export const VIDEO_MODEL = "veo-3.1-fast";
export const environment = process.env;

const registered = [];

/** Registers a scenario. Those that are `alone` run when all others have ended. */
export function scenario(name, run, { alone = false } = {}) {
  registered.push({ name, run, alone });
}

export function scenarios() {
  return registered;
}

/** The official client, with the base URL and the key of the environment; it repeats nothing unless told to. */
export function open(options = {}) {
  return new OpenAI({ maxRetries: 0, ...options });
}

/** A `fetch` that keeps every request and answer of a client. */
export function recording(transport = fetch) {
  const calls = [];
  const recorded = async (url, init) => {
    const response = await transport(url, init, calls.length);
    calls.push({ headers: new Headers(init.headers), response });
    return response;
  };
  return { calls, fetch: recorded };
}

/** The bytes behind a link of an answer; it needs no key. */
export async function download(url) {
  const response = await fetch(url);
  assert.equal(response.status, 200, url);
  return { bytes: Buffer.from(await response.arrayBuffer()), type: response.headers.get("content-type") };
}

/** The link of the picture in a Markdown answer. */
export function linkIn(content) {
  const found = /!\[[^\]]*\]\((?<url>[^)]+)\)/.exec(content ?? "");
  assert.ok(found, `no picture in ${content}`);
  return found.groups.url;
}

export function isPng(bytes) {
  return bytes.subarray(1, 4).toString() === "PNG";
}

/** Width and height of a PNG. */
export function sizeOf(bytes) {
  assert.ok(isPng(bytes));
  return [bytes.readUInt32BE(16), bytes.readUInt32BE(20)];
}

/** A picture of the gateway's own, as bytes. */
export async function makePicture(client, prompt = "a boat") {
  const answer = await client.images.generate({ model: IMAGE_MODEL, prompt });
  return Buffer.from(answer.data[0].b64_json, "base64");
}

/** Follows a video to its end. The SDK for Node has no `createAndPoll`, as that for Python has. */
export async function finished(client, video, patienceMs = 60_000) {
  const deadline = Date.now() + patienceMs;
  while (video.status === "queued" || video.status === "in_progress") {
    assert.ok(Date.now() < deadline, `${video.id} is still ${video.status}`);
    await pause(200);
    video = await client.videos.retrieve(video.id);
  }
  return video;
}

/** The error that a promise ends with, which has this class. */
export async function refusal(promise, errorClass) {
  const caught = await promise.then(
    () => assert.fail(`expected ${errorClass.name}`),
    (error) => error,
  );
  assert.ok(caught instanceof errorClass, `${caught.constructor.name}: ${caught.message}`);
  return caught;
}

export function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
