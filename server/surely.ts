import { isUnavailable } from '../db/errors.ts';

/**
 * Acts, and once more where the database went away meanwhile: a COMMIT whose answer got lost may have
 * happened. Acting again must do no harm.
 */
export async function surely<T>(act: () => Promise<T>, actAgain = act): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (!isUnavailable(error)) throw error;
    return await actAgain();
  }
}
