import { randomUUID } from 'node:crypto';

/**
 * A UUIDv7: the time in milliseconds, then 74 random bits. Node draws randomness for many UUIDs at once,
 * where the package uuid asks the system for each.
 */
export function drawId(): string {
  const time = Date.now().toString(16).padStart(12, '0');
  // What follows the version is the same in a UUIDv4.
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}`;
}
