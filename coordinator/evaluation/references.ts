/** What ModelService knows contributions and candidates of a study by. Names of models have no slashes, so nothing is meant twice. */
export type StudyReference =
  | { readonly kind: 'contribution'; readonly round: string; readonly contributor: string }
  | { readonly kind: 'candidate'; readonly round: string; readonly candidate: number };

export const contributionReference = (round: string, contributor: string): string => `rounds/${round}/${contributor}`;

export const candidateReference = (round: string, candidate: number): string => `rounds/${round}/candidates/${candidate}`;

/** Undefined: the name of a model, or of nothing. */
export function parseReference(name: string): StudyReference | undefined {
  const [rounds, round, own, number, ...rest] = name.split('/');
  if (rounds !== 'rounds' || round === undefined || own === undefined || rest.length > 0) return undefined;
  if (number === undefined) return { kind: 'contribution', round, contributor: own };
  return own === 'candidates' && /^\d{1,9}$/.test(number) ? { kind: 'candidate', round, candidate: Number(number) } : undefined;
}
