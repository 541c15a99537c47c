/**
 * What every machine is: deterministic, with no clock, randomness, I/O or callback of its own. The same
 * state and input give the same effects and next state, on every run and in every driver.
 */
export interface Machine<Input, Effect, State> {
  /** Plain data: it can be saved, copied, compared and shown. */
  readonly state: State;
  /** Takes one input; yields what the driver must do, in this order, before the next step. */
  step(input: Input): readonly Effect[];
}
