/**
 * One loopback server for all clients under comparison. With `throttle` each answer waits and then trickles, so that
 * bytes and round trips cost what they cost on a slow line. It notes all requests.
 */
import { createServer } from 'node:http';
import { gzipSync } from 'node:zlib';
import zopfli from '@gfx/zopfli';

const LATENCY_MS = 60;
const BYTES_PER_MS = 1.6e6 / 8 / 1000;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class LineServer {
  seen = [];
  files = new Map();
  packed = new Map();
  throttle = false;
  /** The name under which the client looks for itself in the settings; a second entry makes it fetch more code. */
  integration = '';

  async start() {
    this.server = createServer((request, response) => void this.take(request, response));
    await new Promise((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    const { port } = this.server.address();
    this.origin = `http://shop.localhost:${port}`;
    /** Another site than the page's, as a hosted collector is. */
    this.collector = `http://collect.localhost:${port}`;
    return this;
  }

  stop() {
    this.server.closeAllConnections();
    this.server.close();
  }

  /** Serves this client's page at `/`, and its files, all compressed as our collector compresses ours. */
  async show({ page, files, integration = '' }) {
    this.integration = integration;
    this.files.clear();
    await this.add('/', 'text/html', page);
    for (const [path, text] of Object.entries(files)) await this.add(path, 'text/javascript', text);
  }

  async add(path, type, text) {
    this.files.set(path, { type, body: await this.pack(text) });
  }

  async pack(text) {
    if (!this.packed.has(text)) this.packed.set(text, Buffer.from(await zopfli.gzipAsync(Buffer.from(text), { numiterations: 15 })));
    return this.packed.get(text);
  }

  async take(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const path = request.url.split('?')[0];
    const entry = { at: performance.now(), method: request.method, path, body: Buffer.concat(chunks).toString(), down: 0 };
    this.seen.push(entry);
    const file = request.method === 'GET' ? (this.files.get(path) ?? this.settings(path)) : undefined;
    const body = file?.body ?? (request.method === 'OPTIONS' ? '' : gzipSync('{"success":true}'));
    entry.down = body.length;
    if (this.throttle) await sleep(LATENCY_MS + body.length / BYTES_PER_MS);
    response.writeHead(path === '/favicon.ico' ? 404 : 200, {
      'content-type': file?.type ?? 'application/json',
      ...(body.length && { 'content-encoding': 'gzip' }),
      'access-control-allow-origin': request.headers.origin ?? '*',
      'access-control-allow-headers': request.headers['access-control-request-headers'] ?? '*',
      'access-control-allow-credentials': 'true',
      'access-control-max-age': '86400',
    });
    response.end(body);
  }

  /** The settings document that the peers ask for. */
  settings(path) {
    if (!path.endsWith('/settings')) return undefined;
    const entry = { apiKey: 'wk', apiHost: `${this.collector.replace('http://', '')}/v1`, protocol: 'http' };
    const document = { integrations: { [this.integration]: entry }, metrics: { sampleRate: 0 } };
    return { type: 'application/json', body: gzipSync(JSON.stringify(document)) };
  }
}
