/** `npm run compare`: measures ours beside the published clients and writes the tables into docs/browser-client.md. */
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { clients } from './clients.mjs';
import { LineServer } from './server.mjs';
import { checkSwitching, compareFields, fieldTable } from './side-by-side.mjs';
import { measureSpeed, speedTable } from './speed.mjs';

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const docs = join(dirname(fileURLToPath(import.meta.url)), '../../../docs/browser-client.md');

const write = (sections) => {
  let text = readFileSync(docs, 'utf8');
  for (const [name, content] of Object.entries(sections)) {
    const [begin, end] = [`<!-- ${name}: written by npm run compare -->`, `<!-- ${name}: end -->`];
    const [from, to] = [text.indexOf(begin), text.indexOf(end)];
    if (from < 0 || to < from) throw new Error(`docs/browser-client.md has no place for ${name}`);
    text = `${text.slice(0, from + begin.length)}\n\n${content}\n\n${text.slice(to)}`;
  }
  writeFileSync(docs, text);
};

const server = await new LineServer().start();
const browser = await chromium.launch({ executablePath: process.env.E2E_CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
try {
  const all = await clients('wk', server.collector);
  const family = all.filter(({ global }) => global);
  const [ours, ...peers] = family;
  const speed = speedTable(await measureSpeed(browser, server, all));
  const fields = fieldTable(await compareFields(browser, server, family), family.map(({ name }) => name));
  const switching = await checkSwitching(browser, server, ours, peers);
  console.log([speed, fields, switching].join('\n\n'));
  write({ speed, fields, switching });
} finally {
  await browser.close();
  server.stop();
}
