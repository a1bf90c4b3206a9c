/**
 * The server of the tests: serves the site's pages and stands before a real Tabard. It notes every request, answers
 * with faults where a test asks for them, and passes the rest on.
 */
import { createServer, request as forward, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const ASSETS = join(import.meta.dirname, '../../../../src/tabard/collector/browser_assets');
const SNIPPET = readFileSync(join(ASSETS, 'snippet.js'), 'utf8');

export interface Message {
  type: string;
  messageId: string;
  timestamp: string;
  anonymousId: string;
  userId: string | null;
  event?: string;
  name?: string;
  sentAt?: string;
  traits: Record<string, unknown>;
  properties: Record<string, unknown>;
  integrations: Record<string, unknown>;
  groupId?: string;
  previousId?: string;
  context: Record<string, any>;
}

export interface Seen {
  method: string;
  path: string;
  host: string;
  headers: IncomingMessage['headers'];
  body: string;
  at: number;
  status: number;
}

/** What a fault does: answers with a status, or takes the connection away. */
export interface Fault {
  status: number | 'drop';
  headers?: Record<string, string>;
  delayMs?: number;
  /** Nothing is answered before. */
  until?: Promise<void>;
}

type Answer = { status?: number; headers?: Record<string, string | string[]>; body?: string | Buffer };

const CORS = { 'access-control-allow-origin': '*', 'access-control-expose-headers': 'Retry-After' };

const isCall = (path: string): boolean => /^\/v1\/(i|t|p|s|g|a|b)$/.test(path);

export class Recorder {
  readonly seen: Seen[] = [];
  /** Decides on each call: undefined lets it through. */
  fault: ((seen: Seen) => Fault | undefined) | undefined;
  /** The source whose script is served; with another than that of the pages, their calls keep their own key. */
  private scriptKey: string | undefined;
  /** Asked of Tabard instead of what the browser accepts. */
  acceptEncoding: string | undefined;
  /** The site's pages and files, by path. */
  readonly site = new Map<string, Answer>();
  port = 0;
  private readonly server = createServer((incoming, outgoing) => void this.take(incoming, outgoing));

  constructor(
    readonly upstream: string,
    readonly writeKey: string,
    private readonly addSource: (options: object) => Promise<string>,
  ) {}

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    this.port = (this.server.address() as AddressInfo).port;
    return this;
  }

  stop(): void {
    this.server.closeAllConnections();
    this.server.close();
  }

  reset(): void {
    this.seen.length = 0;
    this.site.clear();
    this.fault = undefined;
    this.scriptKey = undefined;
    this.acceptEncoding = undefined;
  }

  /** From now on Tabard serves the script of a source with these load options. */
  async configure(options: object): Promise<void> {
    this.scriptKey = await this.addSource(options);
  }

  url(path = '/', host = 'shop.site.localhost'): string {
    return `http://${host}:${this.port}${path}`;
  }

  snippet(global = 'tabard', base = '', key = this.writeKey): string {
    return SNIPPET.replace(',"__OPTIONS__"', '').replaceAll('__KEY__', key).replaceAll('__BASE__', base).replaceAll('__GLOBAL__', global);
  }

  /** A page whose head holds the snippet and then `calls`. */
  page(path: string, calls = '', { head = '', body = '', headers = {}, snippet = this.snippet() } = {}): void {
    const html = `<!doctype html><html><head><title>Shop</title>${head}<script>${snippet}</script><script>${calls}</script></head><body>${body}</body></html>`;
    this.site.set(path, { headers: { 'content-type': 'text/html; charset=utf-8', ...headers }, body: html });
  }

  /** Everything sent in calls, tries that failed included. */
  sent(): Message[] {
    return this.seen.filter(({ path }) => isCall(path)).flatMap(({ body }) => messagesOf(body));
  }

  /** What a collector would have: accepted, each messageId once. */
  accepted(): Message[] {
    const taken = this.seen.filter(({ path, status }) => isCall(path) && status === 200);
    return [...new Map(taken.flatMap(({ body }) => messagesOf(body)).map((message) => [message.messageId, message])).values()];
  }

  calls(): Seen[] {
    return this.seen.filter(({ path }) => isCall(path));
  }

  /** Waits until the condition holds; fails with what was seen. */
  async until(condition: () => boolean, what: string, timeoutMs = 5000): Promise<void> {
    const end = Date.now() + timeoutMs;
    while (!condition()) {
      if (Date.now() > end) {
        const calls = this.calls().map(({ path, status, body }) => `${path} ${status} ${body.slice(0, 300)}`);
        throw new Error(`waited for ${what}; calls:\n${calls.join('\n')}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async untilAccepted(count: number, timeoutMs?: number): Promise<Message[]> {
    await this.until(() => this.accepted().length >= count, `${count} accepted messages`, timeoutMs);
    return this.accepted();
  }

  private async take(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const [path = '/', query] = (incoming.url ?? '/').split('?');
    const { method = 'GET', headers } = incoming;
    const body = Buffer.concat(chunks);
    const seen: Seen = { method, path, host: headers.host ?? '', headers, body: body.toString(), at: Date.now(), status: 0 };
    this.seen.push(seen);
    const fault = isCall(path) && method === 'POST' ? this.fault?.(seen) : undefined;
    if (fault?.delayMs) await new Promise((resolve) => setTimeout(resolve, fault.delayMs));
    await fault?.until;
    if (fault?.status === 'drop') return void incoming.socket.destroy();
    const answer = fault
      ? { status: fault.status, headers: { ...CORS, ...fault.headers } }
      : (this.site.get(path) ?? (await this.collector(incoming, query ? `${path}?${query}` : path, body)));
    seen.status = answer.status ?? 200;
    outgoing.writeHead(seen.status, answer.headers as Record<string, string>).end(answer.body);
  }

  private collector(incoming: IncomingMessage, target: string, body: Buffer): Promise<Answer> | Answer {
    const asked = target.endsWith('/analytics.min.js') && this.scriptKey ? target.replace(this.writeKey, this.scriptKey) : target;
    if (/^\/(v1|analytics\.js)\//.test(target)) return this.pass(incoming, asked, body);
    return { status: 404 };
  }

  private pass(incoming: IncomingMessage, target: string, body: Buffer): Promise<Answer> {
    const encoding = this.acceptEncoding ? { 'accept-encoding': this.acceptEncoding } : {};
    // The next page of a test may want other settings in its script.
    const cached = target.endsWith('.js') ? { 'cache-control': 'no-store' } : {};
    return pass(this.upstream + target, incoming.method, { ...incoming.headers, ...encoding }, body, cached);
  }
}

const pass = (url: string, method: string | undefined, headers: IncomingMessage['headers'], body: Buffer, changed: object): Promise<Answer> =>
  new Promise((resolve) => {
    const outgoing = forward(url, { method, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 502,
          headers: { ...(response.headers as Record<string, string | string[]>), ...changed },
          body: Buffer.concat(chunks),
        }),
      );
    });
    outgoing.on('error', (error) => resolve({ status: 502, headers: CORS, body: String(error) }));
    outgoing.end(body);
  });

export const messagesOf = (body: string): Message[] => {
  const content = JSON.parse(body) as Message & { batch?: Message[] };
  return content.batch ?? [content];
};
