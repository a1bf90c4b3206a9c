import assert from 'node:assert/strict';
import { test } from 'node:test';
import { callbackOf, resolveAlias, resolveIdentity, resolvePage, resolveTrack } from '../../src/arguments';

const callback = (): void => undefined;
const [A, B] = [{ a: 1 }, { b: 2 }];

test('identify and group read id, traits, options and callback by their place', () => {
  const cases: [unknown[], unknown, unknown, unknown, unknown][] = [
    [[], null, {}, {}, undefined],
    [['u'], 'u', {}, {}, undefined],
    [[7], '7', {}, {}, undefined],
    [['u', A], 'u', A, {}, undefined],
    [['u', A, B, callback], 'u', A, B, callback],
    [['u', callback], 'u', {}, {}, callback],
    [['u', A, callback], 'u', A, {}, callback],
    [['u', null, B], 'u', {}, B, undefined],
    [[A], null, A, {}, undefined],
    [[A, B, callback], null, A, B, callback],
    [[null, A, B], null, A, B, undefined],
    [[undefined, A], null, A, {}, undefined],
    [[callback], null, {}, {}, callback],
    [['', A], null, A, {}, undefined],
  ];
  for (const [args, id, traits, options, given] of cases)
    assert.deepEqual([resolveIdentity(args), callbackOf(args)], [[options, id, traits], given], JSON.stringify(args));
});

test('track takes a name or a whole message', () => {
  const cases: [unknown[], unknown, unknown, unknown, unknown][] = [
    [['e'], 'e', {}, {}, undefined],
    [['e', A, B, callback], 'e', A, B, callback],
    [['e', callback], 'e', {}, {}, callback],
    [['e', null, B], 'e', {}, B, undefined],
    [[{ event: 'e', properties: A }], 'e', A, {}, undefined],
    [[{ event: 'e', properties: A }, B, callback], 'e', A, B, callback],
    [['e', [1]], 'e', {}, {}, undefined],
    [[''], null, {}, {}, undefined],
    [[NaN], null, {}, {}, undefined],
    [[], null, {}, {}, undefined],
  ];
  for (const [args, event, properties, options, given] of cases)
    assert.deepEqual([resolveTrack(args), callbackOf(args)], [[options, event, properties], given], JSON.stringify(args));
});

test('page and screen: one string is the name, two are category and name, null skips a place', () => {
  const cases: [unknown[], unknown, unknown, unknown, unknown, unknown][] = [
    [[], undefined, undefined, {}, {}, undefined],
    [['n'], undefined, 'n', {}, {}, undefined],
    [['c', 'n'], 'c', 'n', {}, {}, undefined],
    [['c', 'n', A, B, callback], 'c', 'n', A, B, callback],
    [['c', 'n', callback], 'c', 'n', {}, {}, callback],
    [['n', A], undefined, 'n', A, {}, undefined],
    [['n', A, B], undefined, 'n', A, B, undefined],
    [['n', null, A], undefined, 'n', A, {}, undefined],
    [[null, 'n', A], undefined, 'n', A, {}, undefined],
    [[null, null, A, B], undefined, undefined, A, B, undefined],
    [['c', 'n', null, B], 'c', 'n', {}, B, undefined],
    [[A], undefined, undefined, A, {}, undefined],
    [[A, B], undefined, undefined, A, B, undefined],
    [[callback], undefined, undefined, {}, {}, callback],
  ];
  for (const [args, category, name, properties, options, given] of cases)
    assert.deepEqual([resolvePage(args), callbackOf(args)], [[options, category, name, properties], given], JSON.stringify(args));
});

test('alias takes numbers, and options in any place', () => {
  assert.deepEqual(resolveAlias(['to', 'from', B, callback]), [B, 'to', 'from']);
  assert.deepEqual(resolveAlias([1, 2]), [{}, '1', '2']);
  assert.deepEqual(resolveAlias(['to', B]), [B, 'to', undefined]);
  assert.deepEqual(resolveAlias(['to', callback]), [{}, 'to', undefined]);
});
