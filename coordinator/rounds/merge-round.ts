import { mkdir, writeFile, copyFile } from 'node:fs/promises';
export async function mergeRound(o: any): Promise<{ readBytes: number; writtenBytes: number }> { throw new Error('stub'); }
