/** As client-go's RetryOnConflict: a writer that loses so often in a row has another trouble than bad luck. */
const TRIES = 5;

/**
 * Reads, decides and writes, and does so again while another writer was quicker; returns the last outcome. What is written has
 * to test that the object is still the one that was read.
 */
export async function retryOvertaken<T>(attempt: () => Promise<T>, isOvertaken: (outcome: T) => boolean): Promise<T> {
  let outcome = await attempt();
  for (let count = 1; count < TRIES && isOvertaken(outcome); count += 1) outcome = await attempt();
  return outcome;
}
