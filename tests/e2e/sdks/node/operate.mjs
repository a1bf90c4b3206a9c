// Mends a destination's mapping in the pages as an operator does: node operate.mjs CHROMIUM WEB_URL TOKEN DESTINATION.
// At a phone's width: reads a dead letter, saves a wrong mapping (and is told where), previews a right one, saves it,
// resends the dead letters, begins a replay and waits for its bar to fill by itself. Prints one JSON object: what the
// browser complained about, and what it read on the way.
import { chromium } from "playwright-core";

const [executablePath, web, token, destination] = process.argv.slice(2);
const FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"];
const RIGHT = { data: { messageId: { "@path": "$.messageId" }, tenant: "acme" } };
const browser = await chromium.launch({ executablePath, args: FLAGS });
try {
  const tab = await browser.newPage({ viewport: { width: 390, height: 844 } });
  const complaints = [];
  const read = {};
  tab.on("console", (line) => {
    // The answer to a wrong mapping is 400, which a browser logs.
    const isRefusal = line.text().includes("status of 400");
    if (["error", "warning"].includes(line.type()) && !isRefusal) complaints.push(line.text());
  });
  tab.on("pageerror", (error) => complaints.push(String(error)));
  const look = async (name, selector) => {
    read[name] = (await tab.textContent(selector)).replace(/\s+/g, " ").trim();
    // Without its style a page is as wide as its longest line.
    await tab.waitForLoadState();
    const wide = await tab.evaluate(() => document.documentElement.scrollWidth > innerWidth);
    if (wide) complaints.push(`${tab.url()} is wider than the window`);
  };
  await tab.goto(`${web}/dead-letters?destination=${destination}`);
  await tab.fill("#token", token);
  await tab.click("button.primary");
  await tab.waitForURL("**/dead-letters**");
  await look("letters", "tbody");
  await tab.click("tbody tr:first-child a");
  await look("letter", ".pair");

  await tab.click("text=Edit the mapping first");
  await look("books", "#live");
  await tab.click("tbody a");
  await tab.fill("#mapping", '{"data": {"@path": 1}}');
  await tab.click("text=Save");
  await look("fault", "[role=alert]");
  read.kept = await tab.inputValue("#mapping");
  await tab.fill("#mapping", JSON.stringify(RIGHT));
  await tab.click("button[value=preview]");
  await look("preview", "#preview");
  await tab.click("text=Save");
  await tab.waitForURL("**?done=saved");
  await look("saved", "[role=status]");

  await tab.goto(`${web}/dead-letters?destination=${destination}`);
  await tab.click("main button.primary");
  await tab.waitForURL("**?done=*");
  await look("resent", "[role=status]");

  await tab.goto(`${web}/replays`);
  await tab.selectOption("#destination", destination);
  await tab.fill("#ratePerS", "1");
  await tab.click("text=Begin >> nth=-1");
  await tab.waitForURL("**/replays/*done=started");
  read.began = await tab.evaluate(() => document.querySelector("progress").value);
  await tab.waitForFunction(() => document.querySelector("#live .state").textContent === "done", null, { timeout: 20_000 });
  await look("replayed", "#live p");
  process.stdout.write(JSON.stringify({ complaints, read }) + "\n");
} finally {
  await browser.close();
}
