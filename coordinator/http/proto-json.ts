/** Messages as JSON, as protobuf prescribes: camelCase names, 64-bit numbers as text, times as RFC 3339, enums by name. Defaults are written too. */
import { CandidateAccess, CandidateKind, MetricDirection, StudyState } from '../../shared/generated/tributary/v1/evaluations.js';

/** Names of an enum's values, by number. */
export type EnumNames = ReadonlyMap<number, string>;

/** @param prefix of the names in the proto file, which generated code leaves out */
export function enumNames(prefix: string, values: Readonly<Record<string, number | string>>): EnumNames {
  return new Map(
    Object.entries(values).flatMap(([name, value]) => (typeof value === 'number' ? [[value, `${prefix}_${name}`] as const] : [])),
  );
}

export const STUDY_STATES = enumNames('STUDY_STATE', StudyState);

/** Fields that mean one enum wherever they are numbers. */
const ENUMS: Readonly<Record<string, EnumNames>> = {
  direction: enumNames('METRIC_DIRECTION', MetricDirection),
  kind: enumNames('CANDIDATE_KIND', CandidateKind),
  access: enumNames('CANDIDATE_ACCESS', CandidateAccess),
  study: STUDY_STATES,
};

/** @param state of the enum that `state` fields are of in this message */
export function protoJson(message: unknown, state?: EnumNames): unknown {
  const convert = (value: unknown, field: string): unknown => {
    if (typeof value === 'bigint') return value.toString();
    if (typeof value === 'number') {
      const names = field === 'state' ? state : ENUMS[field];
      if (names !== undefined) return names.get(value) ?? value;
      return Number.isFinite(value) ? value : String(value);
    }
    if (typeof value !== 'object' || value === null) return value;
    if (value instanceof Date) return value.toISOString();
    if (Array.isArray(value)) return value.map((item) => convert(item, field));
    return Object.fromEntries(
      Object.entries(value).flatMap(([name, own]) => (own === undefined ? [] : [[name, convert(own, name)] as const])),
    );
  };
  return convert(message, '');
}
