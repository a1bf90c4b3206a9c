// Walks the web pages as an operator does: node site.mjs CHROMIUM WEB_URL TOKEN PATH… Prints one JSON object: what the
// browser complained about (a blocked script or style is such a complaint), each page's heading, and whether the list
// of messages took up a new one by itself.
import { chromium } from "playwright-core";

const [executablePath, web, token, ...paths] = process.argv.slice(2);
const FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"];
const browser = await chromium.launch({ executablePath, args: FLAGS });
try {
  const tab = await browser.newPage();
  const complaints = [];
  tab.on("console", (line) => ["error", "warning"].includes(line.type()) && complaints.push(line.text()));
  tab.on("pageerror", (error) => complaints.push(String(error)));
  tab.on("dialog", (dialog) => (complaints.push(dialog.message()), dialog.dismiss()));
  await tab.goto(web);
  await tab.fill("#token", token);
  await tab.click("button.primary");
  await tab.waitForURL("**/messages");
  const headings = {};
  for (const path of paths) {
    const answer = await tab.goto(web + path);
    headings[path] = [answer.status(), await tab.textContent("h1")];
    const wide = await tab.evaluate(() => document.documentElement.scrollWidth > innerWidth);
    if (wide) complaints.push(`${path} is wider than the window`);
  }
  await tab.goto(`${web}/messages`);
  await tab.click("td:nth-child(4) a");
  headings.trace = [200, await tab.textContent("h1")];
  await tab.goto(`${web}/messages`);
  process.stdout.write(JSON.stringify({ ready: true }) + "\n");
  await tab.getByText("Just now").waitFor({ timeout: 10_000 });
  await tab.click("text=Log out");
  await tab.waitForURL("**/login");
  process.stdout.write(JSON.stringify({ complaints, headings }) + "\n");
} finally {
  await browser.close();
}
