// Plays the demo's story in headless Chromium: node shop.mjs SHOP_URL CHROMIUM; prints what the page says is known.
import { createRequire } from "node:module";

const require = createRequire(new URL("../sdks/node/package.json", import.meta.url));
const { chromium } = require("playwright-core");
const [shop, executablePath] = process.argv.slice(2);
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

const browser = await chromium.launch({ executablePath, args: FLAGS });
try {
  const tab = await browser.newPage();
  const sent = [];
  const failed = [];
  tab.on("request", (request) => request.method() === "POST" && sent.push(new URL(request.url()).pathname));
  tab.on("response", (response) => response.status() >= 400 && failed.push(response.url()));
  await tab.goto(shop);
  await tab.waitForFunction(() => window.tabard.initialized);
  const known = async (test) => {
    await tab.waitForFunction(test, null, { timeout: 15_000 });
    return JSON.parse(await tab.textContent("#known"));
  };
  await tab.click("#red");
  const anonymous = await known(() => document.getElementById("known").textContent.includes("favouriteColour"));
  await tab.click("#lead button");
  const lead = await known(() => document.getElementById("known").textContent.includes("email:jane@example.com"));
  await tab.click("#order button");
  const customer = await known(() => document.getElementById("known").textContent.includes('"canonical": "user:cust-'));
  const ids = () => tab.evaluate(() => [window.tabard.user().id(), window.tabard.user().anonymousId()]);
  const loggedIn = await ids();
  const profile = await tab.getAttribute("#profile", "href");
  const views = sent.filter((path) => path === "/v1/p").length;
  await Promise.all([tab.waitForEvent("load"), tab.click("#logout")]);
  await tab.waitForFunction(() => window.tabard.initialized);
  const loggedOut = await ids();
  process.stdout.write(JSON.stringify({ anonymous, lead, customer, profile, views, failed, loggedIn, loggedOut }) + "\n");
} finally {
  await browser.close();
}
