/**
 * The simulator: whole systems in one thread and virtual time, with faults, from a seed; pure, also in a browser.
 * @module
 */

export {
  type Counterexample,
  type Exploration,
  type ExploreOptions,
  explore,
  replay,
} from "./sim/explore.ts";
export { drawFaults, type Faults, formatFaults, NO_FAULTS, parseFaults } from "./sim/faults.ts";
export { type RunOptions, type RunReport, runWorld } from "./sim/run.ts";
export { runScenario, type ScenarioOutcome } from "./sim/scenario.ts";
export { formatStep, parseSchedule, type ScheduleStep } from "./sim/schedule.ts";
export type { SeenSnapshot } from "./sim/seen.ts";
export {
  type ComesBackWith,
  type Restored,
  Simulation,
  type SimulationEvent,
  type SimulationOptions,
} from "./sim/simulation.ts";
export { Violation } from "./sim/witness.ts";
export {
  type Asked,
  defineWorld,
  type Properties,
  type Property,
  type View,
  type World,
} from "./sim/world.ts";
