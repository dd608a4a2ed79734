/**
 * `config.json`: the tree of SimObjects with their checked parameters, as it was simulated.
 */
import type { SimObject } from './sim-object.ts';
import { encodeNumber, type Json } from './state.ts';

/** An object, its parameters (in base units: bytes, hertz, ticks) and its children, as JSON. */
export function describeConfig(object: SimObject): Json {
  return {
    type: object.constructor.name,
    path: object.path,
    params: Object.fromEntries(
      Object.entries(object.resolvedParams).map(([name, value]) => [name, toJson(value)]),
    ),
    children: Object.fromEntries([...object.children].map(([name, child]) => [name, describeConfig(child)])),
  };
}

function toJson(value: unknown): Json {
  if (typeof value === 'number') return encodeNumber(value);
  if (typeof value === 'string' || typeof value === 'boolean') return value;
  if (Array.isArray(value)) return value.map(toJson);
  return value === undefined ? null : String(value);
}
