/** The clients under comparison: how each gets onto a page, and what its first message looks like on the wire. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const assets = join(here, '../../../src/tabard/collector/browser_assets');
const read = (...path) => readFileSync(join(...path), 'utf8');
const version = (name) => JSON.parse(read(here, 'node_modules', name, 'package.json')).version;

const bundled = async (contents) => {
  const result = await build({
    stdin: { contents, resolveDir: here },
    bundle: true,
    minify: true,
    write: false,
    target: 'es2020',
    format: 'iife',
    logLevel: 'error',
  });
  return result.outputFiles[0].text;
};

const page = (head) => `<!doctype html><html><head><title>Shop</title>${head}</head><body></body></html>`;

/** The least a page of the family needs: a queue, the key, where settings are, and the script. */
const queued = (collector, global, attribute, src) =>
  page(`<script>var q=window.${global}=[["page"]];q.invoked=true;q._writeKey="wk";q._cdn="${collector}";q._loadOptions={};</script>
<script async ${attribute}="${global}" src="${collector}${src}"></script>`);

/** Each: name, files it needs, its page, whether a request carries a message; in the family its global and settings entry. */
export const clients = async (writeKey, collector) => {
  const snippet = read(assets, 'snippet.js').replace(',"__OPTIONS__"', '').replaceAll('__KEY__', writeKey).replaceAll('__BASE__', collector).replaceAll('__GLOBAL__', 'tabard');
  const family = ({ method, path }) => method === 'POST' && /^\/v1\/[itpsgab]$/.test(path);
  const peers = join(here, 'node_modules');
  return [
    {
      name: `Tabard ${JSON.parse(read(assets, 'manifest.json')).version}`,
      global: 'tabard',
      page: page(`<script>${snippet}</script>`),
      files: { [`/v1/analytics-js/snippet/${writeKey}/analytics.min.js`]: `${read(assets, 'analytics.min.js')}({"writeKey":"${writeKey}"});` },
      isMessage: family,
    },
    {
      name: `Customer.io ${version('@customerio/cdp-analytics-browser')}`,
      global: 'cioanalytics',
      integration: 'Customer.io Data Pipelines',
      page: queued(collector, 'cioanalytics', 'data-global-customerio-analytics-key', '/customerio.js'),
      files: { '/customerio.js': read(peers, '@customerio/cdp-analytics-browser/dist/umd/standalone.js') },
      isMessage: family,
    },
    {
      name: `Segment ${version('@segment/analytics-next')}`,
      global: 'analytics',
      integration: 'Segment.io',
      page: queued(collector, 'analytics', 'data-global-segment-analytics-key', '/segment.js'),
      files: { '/segment.js': read(peers, '@segment/analytics-next/dist/umd/standalone.js') },
      isMessage: family,
    },
    {
      name: `Jitsu ${version('@jitsu/js')}`,
      page: page(`<script async src="${collector}/jitsu.js"></script>`),
      files: { '/jitsu.js': await bundled(`import { jitsuAnalytics } from '@jitsu/js'; jitsuAnalytics({ host: '${collector}', writeKey: 'wk' }).page();`) },
      isMessage: ({ method, path }) => method === 'POST' && path.startsWith('/api/s/'),
    },
    {
      name: `Plausible ${version('@plausible-analytics/tracker')}`,
      page: page(`<script async src="${collector}/plausible.js"></script>`),
      files: { '/plausible.js': await bundled(`import { init } from '@plausible-analytics/tracker'; init({ domain: 'shop', endpoint: '${collector}/api/event', captureOnLocalhost: true });`) },
      isMessage: ({ method, path }) => method === 'POST' && path === '/api/event',
    },
  ];
};
