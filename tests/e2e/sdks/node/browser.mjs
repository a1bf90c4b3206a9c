// Runs a published browser SDK in headless Chromium: node browser.mjs SDK COLLECTOR_URL WRITE_KEY CHROMIUM.
// The page stands on an origin of its own, so every request crosses origins as on a customer's site.
import { createServer } from "node:http";
import { build } from "esbuild";
import { chromium } from "playwright-core";

const [sdk, url, writeKey, executablePath] = process.argv.slice(2);
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

const scenario = `
import { AnalyticsBrowser } from ${JSON.stringify(sdk)};
const analytics = AnalyticsBrowser.load({ writeKey: ${JSON.stringify(writeKey)}, cdnURL: ${JSON.stringify(url)} });
window.finished = (async () => {
  await analytics.page("Docs");
  await analytics.identify({ subscriptionStatus: "inactive" });
  await analytics.track("Signed Up", { plan: "pro" });
  await analytics.identify("97980cfea0067", { firstName: "cool", lastName: "person", email: "cool.person@example.com" });
  await analytics.group("acme", { name: "Acme" });
  await analytics.alias("new-id", "97980cfea0067");
  return { user: analytics.instance.user().id(), anonymous: analytics.instance.user().anonymousId() };
})();`;

const bundle = await build({
  stdin: { contents: scenario, resolveDir: import.meta.dirname },
  bundle: true, write: false, format: "iife", logLevel: "error",
});
const page = `<!doctype html><title>Shop</title><script>${bundle.outputFiles[0].text.replaceAll("</script", "<\\/script")}</script>`;
const server = createServer((_, answer) => answer.setHeader("content-type", "text/html; charset=utf-8").end(page));
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

const browser = await chromium.launch({ executablePath, args: FLAGS });
try {
  const tab = await browser.newPage();
  const foreign = new Set();
  tab.on("request", (request) => {
    const { hostname } = new URL(request.url());
    if (hostname !== "127.0.0.1") foreign.add(hostname);
  });
  const trouble = [];
  tab.on("pageerror", (error) => trouble.push(String(error)));
  await tab.goto(`http://127.0.0.1:${server.address().port}/?utm_campaign=spring&utm_source=mail`);
  const identity = await tab.evaluate(() => window.finished);
  await tab.waitForLoadState("networkidle");
  process.stdout.write(JSON.stringify({ identity, foreign: [...foreign], trouble }) + "\n");
} finally {
  await browser.close();
  server.close();
}
