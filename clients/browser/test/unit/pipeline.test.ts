import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPipeline } from '../../src/pipeline';
import type { Analytics, Message } from '../../src/types';

const message = (): Message => ({ type: 'track', messageId: 'm', context: {}, integrations: {} }) as unknown as Message;

test('middlewares run in the order of their registration and may replace the message', async () => {
  const pipeline = createPipeline();
  pipeline.addMiddleware(({ payload, next }) => next({ obj: { ...payload.obj, event: 'one' } }));
  pipeline.addMiddleware(async ({ payload, next }) => {
    await Promise.resolve();
    payload.obj.event = `${payload.obj.event as string} two`;
    next(payload);
  });
  assert.equal((await pipeline.pass(message())).event, 'one two');
});

test('a middleware that passes null or nothing drops the message', async () => {
  for (const drop of [(next: (payload: null) => void) => next(null), () => undefined]) {
    const pipeline = createPipeline();
    pipeline.addMiddleware(({ next }) => drop(next));
    await assert.rejects(pipeline.pass(message()), (reason) => reason === 'middleware');
  }
});

test('a message waits for its plugin to load, and updateEvent sets by path', async () => {
  const pipeline = createPipeline();
  let loaded = false;
  const loading = new Promise<void>((resolve) => setTimeout(() => ((loaded = true), resolve()), 20));
  pipeline.addPlugin(
    { name: 'p', type: 'enrichment', load: () => loading, track: (ctx) => ctx.updateEvent('context.shop.loaded', loaded) },
    {} as Analytics,
  );
  assert.deepEqual((await pipeline.pass(message())).context, { shop: { loaded: true } });
});
