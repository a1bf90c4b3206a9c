/** Bytes, requests and time to the first message, all clients in one run under the same throttling. */
import { cpus, loadavg } from 'node:os';

const RUNS = 10;

const median = (values) => {
  const sorted = values.sort((a, b) => a - b);
  return (sorted[Math.floor((sorted.length - 1) / 2)] + sorted[Math.floor(sorted.length / 2)]) / 2;
};

const once = async (browser, server, client) => {
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    server.seen.length = 0;
    await page.goto(server.origin + '/', { waitUntil: 'commit' });
    const end = Date.now() + 10_000;
    while (!server.seen.some(client.isMessage)) {
      if (Date.now() > end) throw new Error(`${client.name} sent nothing: ${server.seen.map(({ path }) => path)}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const requests = server.seen.filter(({ path }) => path !== '/favicon.ico');
    const last = requests.findIndex(client.isMessage);
    const used = requests.slice(1, last + 1);
    return { ms: requests[last].at - requests[0].at, requests: used.length, bytes: used.slice(0, -1).reduce((sum, { down }) => sum + down, 0) };
  } finally {
    await context.close();
  }
};

export const measureSpeed = async (browser, server, clients) => {
  server.throttle = true;
  const results = new Map(clients.map((client) => [client, []]));
  for (let run = 0; run < RUNS; run++)
    for (let turn = 0; turn < clients.length; turn++) {
      // Each client is first once in so many rounds: none always follows the same one.
      const client = clients[(run + turn) % clients.length];
      await server.show(client);
      results.get(client).push(await once(browser, server, client));
    }
  server.throttle = false;
  const rows = clients.map(async (client) => {
    const runs = results.get(client);
    return {
      name: client.name,
      script: (await server.pack(Object.values(client.files)[0])).length,
      requests: runs[0].requests,
      bytes: runs[0].bytes,
      ms: Math.round(median(runs.map(({ ms }) => ms))),
      spread: [Math.round(Math.min(...runs.map(({ ms }) => ms))), Math.round(Math.max(...runs.map(({ ms }) => ms)))],
    };
  });
  return Promise.all(rows);
};

export const speedTable = (rows) =>
  [
    '| client | script, bytes gzip | requests to the first message | bytes down before it | ms to the first message (median, range) |',
    '| --- | ---: | ---: | ---: | ---: |',
    ...rows.map(({ name, script, requests, bytes, ms, spread }) => `| ${name} | ${script} | ${requests} | ${bytes} | ${ms} (${spread.join('–')}) |`),
    '',
    `Median of ${RUNS} interleaved runs in one session; headless chromium on loopback, every file compressed by zopfli, each answer delayed by 60 ms plus its size at 1.6 Mbit/s. Script and collector are on another site than the page, so preflights count. Measured from the page's request to the arrival of the first message; the page itself is not counted. ${cpus().length} cores, load average ${loadavg()[0].toFixed(1)} at the end of the run: above the number of cores the range says more than the median.`,
  ].join('\n');
