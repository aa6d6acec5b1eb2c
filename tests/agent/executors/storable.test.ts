import { describe, expect, test } from 'vitest';
import {
  MAX_BYTES,
  MAX_DEPTH,
  storableText,
  toStorable,
} from '../../../agent/executors/storable.ts';

describe('a storable value', () => {
  test.each([
    [null],
    [true],
    [0],
    [-1.5e300],
    ['text'],
    ['😀 pairs stay'],
    ['a backslash \\u0000 that is text'],
    ['controls \u0001 \u001f \u007f \u2028 "quoted"'],
    [[]],
    [{ a: [{ b: null }, 'c'], d: {} }],
  ])('comes back as it was: %j', (value) => {
    expect(toStorable(value)).toEqual(value);
  });

  test('is a copy, which later changes do not reach', () => {
    const value = { list: [1] };
    const stored = toStorable(value);
    value.list.push(2);
    expect(stored).toEqual({ list: [1] });
  });

  test('is what JSON makes of it', () => {
    const value = { at: new Date(0), left: undefined, list: [undefined] };
    expect(toStorable(value)).toEqual({ at: '1970-01-01T00:00:00.000Z', list: [null] });
  });

  test('is null when there is none', () => {
    expect(toStorable(undefined)).toBeNull();
  });

  test('keeps a member called __proto__', () => {
    const value: unknown = JSON.parse('{"__proto__": {"polluted": true}}');
    expect(JSON.stringify(toStorable(value))).toBe('{"__proto__":{"polluted":true}}');
  });
});

describe('characters that jsonb cannot hold', () => {
  test.each([
    ['\0', '\uFFFD'],
    ['a\0b\0', 'a\uFFFDb\uFFFD'],
    ['\uD800', '\uFFFD'],
    ['\uDFFF!', '\uFFFD!'],
    ['\uDE00\uD83D', '\uFFFD\uFFFD'],
    ['\uD83D😀', '\uFFFD😀'],
    ['\\\0', '\\\uFFFD'],
    ['\\u0000\0', '\\u0000\uFFFD'],
    ['\\\\\uD800', '\\\\\uFFFD'],
  ])('become U+FFFD in %j', (text, expected) => {
    expect(toStorable(text)).toBe(expected);
    expect(storableText(text)).toBe(expected);
  });

  test('become U+FFFD in keys', () => {
    expect(toStorable({ 'a\0': { '\uD800': 1 } })).toEqual({ 'a\uFFFD': { '\uFFFD': 1 } });
  });

  test('become U+FFFD at any depth', () => {
    expect(toStorable(nested(MAX_DEPTH - 1, ['\0']))).toEqual(nested(MAX_DEPTH - 1, ['\uFFFD']));
  });
});

describe('a value is refused', () => {
  test.each([Number.NaN, Infinity, -Infinity])('for the number %d', (number) => {
    expect(() => toStorable({ deep: [{ number }] })).toThrow(`the number ${number}`);
  });

  test('for a BigInt', () => {
    expect(() => toStorable({ big: 1n })).toThrow('not expressible as JSON');
  });

  test('for a cycle', () => {
    const value: { self?: unknown } = {};
    value.self = value;
    expect(() => toStorable(value)).toThrow('not expressible as JSON');
  });

  test('for a member that throws when it is read', () => {
    const value = {
      get member() {
        throw new Error('no');
      },
    };
    expect(() => toStorable(value)).toThrow('not expressible as JSON');
  });

  test('for nesting one level too deep, and not before', () => {
    expect(toStorable(nested(MAX_DEPTH))).toEqual(nested(MAX_DEPTH));
    expect(() => toStorable(nested(MAX_DEPTH + 1))).toThrow('nested more than 512 levels deep');
  });

  test.each([5_000, 1_000_000])('for %d levels of nesting, without overflowing', (levels) => {
    expect(() => toStorable(nested(levels))).toThrow('nested');
    expect(() => toStorable(nested(levels, [null]))).toThrow('nested');
  });

  test('for one byte too many as JSON, and not before', () => {
    const fitting = 'é'.repeat((MAX_BYTES - 2) / 2);
    expect(toStorable(fitting)).toBe(fitting);
    expect(() => toStorable(`${fitting}a`)).toThrow(`longer than ${MAX_BYTES} bytes`);
  });
});

function nested(levels: number, innermost: unknown[] = []): unknown[] {
  let value = innermost;
  for (let level = 1; level < levels; level++) value = [value];
  return value;
}
