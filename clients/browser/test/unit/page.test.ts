import assert from 'node:assert/strict';
import { test } from 'node:test';
import { campaignOf } from '../../src/context';
import { parametersOf } from '../../src/values';
import { momentOf } from '../../src/page';

const at = (u: string, c?: string) => momentOf({ c: c ?? null, u, t: 'T', r: 'R', d: 5 })[1];

test('without a canonical link url and path are those of the page, without its fragment', () => {
  assert.deepEqual(at('https://a.example/x?q=1#/route?z'), { path: '/x', referrer: 'R', search: '?q=1', title: 'T', url: 'https://a.example/x?q=1' });
});

test('a canonical link gives url and path, and the query of the page where it has none', () => {
  assert.equal(at('https://a.example/x?q=1', 'https://b.example/y').url, 'https://b.example/y?q=1');
  assert.equal(at('https://a.example/x?q=1', 'https://b.example/y?own').url, 'https://b.example/y?own');
  assert.deepEqual([at('https://a.example/x', '/rel#f').url, at('https://a.example/x', '/rel').path], ['https://a.example/rel', '/rel']);
  assert.equal(at('https://a.example/x', 'http://[broken').url, 'https://a.example/x');
});

test('a campaign is what utm_ parameters say, and the click ids that were asked for', () => {
  const search = '?utm_campaign=spring&utm_source=a+b&utm_term=%zz&gclid=1&fbclid=2';
  assert.deepEqual(campaignOf(search, parametersOf(search, ''), ['gclid']), {
    name: 'spring',
    source: 'a b',
    term: '%zz',
    clickIds: { gclid: '1' },
  });
  assert.equal(campaignOf('', {}), undefined);
});

test('the moment noted by a snippet keeps its time', () => {
  assert.equal(momentOf({ u: 'https://a.example/', t: '', r: '', d: 5 })[0], 5);
});
