/**
 * One scenario through each client of the analytics.js family, the payloads compared field by field, and a visitor
 * taken over from each peer and handed back.
 */
const SCENARIO = `async (name) => {
  const client = () => window[name];
  const step = (call) => Promise.race([call, new Promise((done) => setTimeout(done, 700))]);
  await step(client().identify({ plan: 'free' }));
  await step(client().identify('u1', { email: 'a@example.com' }));
  await step(client().track('Bought', { price: 12.5, at: new Date(0) }, { context: { app: 1 } }));
  await step(client().page('Docs', 'Index', { section: 2 }));
  await step(client().screen('Home'));
  await step(client().group('g1', { size: 3 }));
  await step(client().alias('u2'));
  client().reset();
  await step(client().track('After reset'));
}`;

const VOLATILE = /^(messageId|timestamp|sentAt|anonymousId|writeKey|context\.userAgent.*|context\.library\..*|context\.page\.url|properties\.url)$/;

const flatten = (value, prefix = '', into = {}) => {
  if (value && typeof value === 'object' && !Array.isArray(value)) {
    const entries = Object.entries(value);
    if (!entries.length) into[prefix] = '{}';
    for (const [key, inner] of entries) flatten(inner, prefix ? `${prefix}.${key}` : key, into);
  } else into[prefix] = JSON.stringify(value);
  return into;
};

const messagesOf = (seen, isMessage) =>
  seen.filter(isMessage).flatMap(({ body }) => {
    const content = JSON.parse(body);
    return content.batch ?? [content];
  });

const openWith = async (context, server, client) => {
  await server.show(client);
  const page = await context.newPage();
  await page.goto(`${server.origin}/?utm_source=mail`);
  await page.waitForFunction(`window.${client.global} && window.${client.global}.initialized`);
  await page.waitForTimeout(400);
  return page;
};

const identityOn = (page, { global }) => page.evaluate(`[${global}.user().anonymousId(), ${global}.user().id(), JSON.stringify(${global}.user().traits())]`);

const scenario = async (browser, server, client) => {
  const context = await browser.newContext({ locale: 'de-CH', timezoneId: 'Europe/Zurich' });
  try {
    server.seen.length = 0;
    const page = await openWith(context, server, client);
    await page.evaluate(`(${SCENARIO})('${client.global}')`);
    await page.waitForTimeout(1000);
    const sent = messagesOf(server.seen, client.isMessage);
    const storage = await page.evaluate('Object.keys(localStorage).sort()');
    const cookies = (await context.cookies()).map(({ name }) => name).sort();
    return { sent, storage, cookies };
  } finally {
    await context.close();
  }
};

const key = ({ type, event, name, userId }) => [type, event ?? name ?? (type === 'identify' ? (userId ? 'known' : 'anonymous') : '')].filter(Boolean).join(' ');

export const compareFields = async (browser, server, family) => {
  const results = [];
  for (const client of family) results.push(await scenario(browser, server, client));
  const byKey = results.map(({ sent }) => new Map(sent.map((message) => [key(message), flatten(message)])));
  const messages = [...new Set(byKey.flatMap((map) => [...map.keys()]))];
  const rows = [];
  let equal = 0;
  for (const message of messages) {
    const flat = byKey.map((map) => map.get(message) ?? {});
    for (const field of [...new Set(flat.flatMap(Object.keys))].sort()) {
      const values = flat.map((fields) => (field in fields ? (VOLATILE.test(field) ? 'present' : fields[field]) : '–'));
      if (new Set(values).size === 1) equal++;
      else rows.push({ message, field, values });
    }
  }
  return { rows, equal, messages, results };
};

/** The fields that differ, those that differ alike in several messages on one line. */
export const fieldTable = ({ rows, equal, messages, results }, names) => {
  const grouped = new Map();
  for (const { message, field, values } of rows) {
    const line = [field, ...values].join('\u0000');
    grouped.set(line, [...(grouped.get(line) ?? []), message]);
  }
  const shown = (value) => (value === '–' ? value : `\`${value.length > 40 ? value.slice(0, 37) + '…' : value}\``).replaceAll('|', '\\|');
  return [
    `${messages.length} messages; ${equal} fields are alike in all three (ids, times and agents by presence), ${rows.length} are not:`,
    '',
    `| field | in | ${names.join(' | ')} |`,
    `| --- | --- | ${names.map(() => '---').join(' | ')} |`,
    ...[...grouped].map(([line, where]) => {
      const [field, ...values] = line.split('\u0000');
      return `| \`${field}\` | ${where.length === messages.length ? 'all' : where.join(', ')} | ${values.map(shown).join(' | ')} |`;
    }),
    '',
    ...results.map(({ cookies, storage }, at) => `- ${names[at]}: cookies ${cookies.map((name) => `\`${name}\``).join(', ')}; local storage ${storage.map((name) => `\`${name}\``).join(', ')}`),
  ].join('\n');
};

/** Each kind of visitor that a client may leave behind. */
const VISITORS = {
  anonymous: (name) => `${name}.identify({ plan: 'free' })`,
  known: (name) => `${name}.identify('u1', { plan: 'pro' })`,
  'after reset()': (name) => `${name}.identify('u1', { plan: 'pro' }); ${name}.group('g1'); ${name}.reset(); ${name}.track('After reset')`,
};

/** Fails where a visitor would not survive a change of client, in either direction. */
export const checkSwitching = async (browser, server, ours, peers) => {
  const lines = [];
  for (const peer of peers)
    for (const [from, to] of [
      [peer, ours],
      [ours, peer],
    ]) {
      for (const [visitor, calls] of Object.entries(VISITORS)) {
        const context = await browser.newContext();
        const before = await openWith(context, server, from);
        await before.evaluate(calls(from.global));
        await before.waitForTimeout(700);
        const known = await identityOn(before, from);
        await before.close();
        const after = await identityOn(await openWith(context, server, to), to);
        if (JSON.stringify(known) !== JSON.stringify(after)) throw new Error(`${from.name} to ${to.name}, ${visitor}: ${known} became ${after}`);
        await context.close();
      }
      lines.push(`- ${from.name} → ${to.name}: same anonymousId, userId and traits, of a visitor who is ${Object.keys(VISITORS).join(', ')}`);
    }
  return lines.join('\n');
};
