// A long chat with random actions and faults, the same for the same seed. `cargo xtask soak` makes it as long as one wants.
import { test } from "@playwright/test";
import { Soak } from "./soak/soak";

const TURNS = Number(process.env.MAR_SOAK_TURNS ?? 5);
const SEED = Number(process.env.MAR_SOAK_SEED ?? 12099);

// What the page needs without a network is there.
test.use({ serviceWorkers: "allow" });

test(`${TURNS} turns with random actions, seed ${SEED}`, async ({ page, browser }) => {
  test.setTimeout(600_000 + TURNS * 60_000);
  const soak = await Soak.begin(page, browser, SEED);
  for (let turn = 1; turn <= TURNS; turn++) await soak.turn(turn);
  await soak.end();
});
