import fc from 'fast-check';

/*
 * Property tests try the same values on every run, so that a change is judged by what it changes. New values are for
 * whoever looks for trouble: FAST_CHECK_SEED=2 make test-unit.
 */
fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(process.env.FAST_CHECK_SEED ?? 1) });
