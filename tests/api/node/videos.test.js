// The official Node SDK against the server at PRAX_URL with the key PRAX_KEY.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI, { toFile } from "openai";

const client = new OpenAI({ apiKey: process.env.PRAX_KEY, baseURL: process.env.PRAX_URL + "/v1" });
const quick = { steps: 1 };

async function finished(id) {
  for (;;) {
    const video = await client.videos.retrieve(id);
    if (video.status === "completed") return video;
    assert.notEqual(video.status, "failed", JSON.stringify(video.error));
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

test("create, retrieve, download, delete", async () => {
  const made = await client.videos.create({ model: "sora-2", prompt: "a boat", seconds: "4", size: "720x1280", ...quick });
  assert.equal(made.status, "queued");
  const video = await finished(made.id);
  const response = await client.videos.downloadContent(video.id);
  assert.equal(response.headers.get("content-type"), "video/mp4");
  const bytes = Buffer.from(await response.arrayBuffer());
  assert.equal(bytes.subarray(4, 8).toString(), "ftyp");
  const thumbnail = await client.videos.downloadContent(video.id, { variant: "thumbnail" });
  assert.equal(thumbnail.headers.get("content-type"), "image/webp");

  const remix = await client.videos.remix(video.id, { prompt: "at night", ...quick });
  assert.equal(remix.remixed_from_video_id, video.id);
  const edit = await client.videos.edit({ prompt: "snow", video: { id: video.id }, ...quick });
  const longer = await client.videos.extend({ prompt: "on", seconds: "4", video: { id: video.id }, ...quick });
  const character = await client.videos.createCharacter({ name: "it", video: await toFile(bytes, "it.mp4") });
  assert.equal((await client.videos.getCharacter(character.id)).name, "it");
  for (const one of [remix, edit, longer]) await finished(one.id);

  const seen = [];
  for await (const one of client.videos.list({ limit: 1 })) seen.push(one.id);
  assert.ok(seen.includes(video.id) && seen.includes(remix.id));
  assert.equal((await client.videos.delete(video.id)).deleted, true);
  await assert.rejects(client.videos.retrieve(video.id), OpenAI.NotFoundError);
});

test("errors are the SDK's classes", async () => {
  await assert.rejects(client.videos.create({ prompt: "" }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.param, "prompt");
    assert.match(error.requestID, /^req_/);
    return true;
  });
  const stranger = new OpenAI({ apiKey: "sk-none", baseURL: process.env.PRAX_URL + "/v1" });
  await assert.rejects(stranger.videos.list(), OpenAI.AuthenticationError);
});

test("webhooks unwrap", async () => {
  const { createServer } = await import("node:http");
  const got = new Promise((resolve) => {
    const receiver = createServer((request, response) => {
      let body = "";
      request.on("data", (piece) => (body += piece));
      request.on("end", () => {
        response.end();
        receiver.close();
        resolve({ headers: request.headers, body });
      });
    });
    receiver.listen(0, "127.0.0.1", async () => {
      const url = `http://127.0.0.1:${receiver.address().port}/`;
      const endpoint = await client.post("/webhook_endpoints", { body: { name: "n", url, event_types: ["video.completed"] } });
      secret = endpoint.signing_secret;
      await client.post(`/webhook_endpoints/${endpoint.id}/test`, { body: { event_type: "video.completed" } });
    });
  });
  let secret;
  const { headers, body } = await got;
  const event = await client.webhooks.unwrap(body, headers, secret);
  assert.equal(event.type, "video.completed");
});
