// Opens pages one after the other in headless Chromium, each as a new visitor on an origin of its own, and waits until
// what they sent was answered: node pages.mjs CHROMIUM < a JSON list of pages. Prints one JSON object a page.
import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { chromium } from "playwright-core";

const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];
const pages = JSON.parse(await text(process.stdin));
const server = createServer((request, answer) => {
  answer.setHeader("content-type", "text/html; charset=utf-8").end(pages[Number(request.url.slice(1))] ?? "");
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const browser = await chromium.launch({ executablePath: process.argv[2], args: FLAGS });
try {
  for (const number of pages.keys()) {
    const context = await browser.newContext();
    const tab = await context.newPage();
    const [posts, trouble] = [[], []];
    tab.on("pageerror", (error) => trouble.push(String(error)));
    tab.on("response", (answer) => answer.request().method() === "POST" && posts.push(answer.status()));
    const first = tab.waitForResponse((answer) => answer.request().method() === "POST", { timeout: 10_000 });
    await tab.goto(`http://127.0.0.1:${server.address().port}/${number}`);
    await first;
    await tab.waitForLoadState("networkidle");
    process.stdout.write(JSON.stringify({ posts, trouble }) + "\n");
    await context.close();
  }
} finally {
  await browser.close();
  server.close();
}
