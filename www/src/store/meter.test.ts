import { expect, it } from "vitest";
import type { Progress } from "../mar/types";
import { Meter } from "./meter";

function metered(total: number) {
  const reports: Progress[] = [];
  const clock = { now: 0 };
  const meter = new Meter(
    total,
    (progress) => reports.push(progress),
    () => clock.now,
  );
  return { reports, clock, meter };
}

it("tells rate and time left of the last seconds", () => {
  const { reports, clock, meter } = metered(100_000);
  for (let second = 1; second <= 10; second += 1) {
    clock.now = second * 1000;
    meter.came(second <= 5 ? 1000 : 5000);
  }
  expect(reports.at(-1)).toMatchObject({ received: 30_000, verified: 0, bytes_per_second: 5000, seconds_left: 14 });
});

it("takes back what was of no use, and keeps storage and network apart", () => {
  const { reports, clock, meter } = metered(3000);
  meter.found(1000);
  clock.now = 1000;
  meter.came(2000);
  meter.came(-500);
  meter.checked(1500);
  meter.tick();
  expect(reports.at(-1)).toMatchObject({ received: 2500, verified: 2500, stored: 1000, bytes_per_second: 2000 });
});

it("does not report what is unchecked more often than ten times a second", () => {
  const { reports, clock, meter } = metered(1000);
  for (let i = 0; i < 100; i += 1) {
    clock.now = i * 10;
    meter.came(10);
  }
  meter.tick();
  expect(reports.length).toBe(11);
  expect(reports[0]).toMatchObject({ received: 0, seconds_left: null });
  expect(reports.at(-1)).toMatchObject({ received: 1000, seconds_left: 0 });
});

it("tells that nothing comes any more", () => {
  const { reports, clock, meter } = metered(1000);
  clock.now = 1000;
  meter.came(500);
  expect(reports.at(-1)).toMatchObject({ bytes_per_second: 500 });
  for (clock.now = 2000; clock.now <= 10_000; clock.now += 1000) meter.tick();
  expect(reports.at(-1)).toMatchObject({ received: 500, bytes_per_second: 0, seconds_left: null });
});

it("says when it is paused, and forgets the rate of before", () => {
  const { reports, clock, meter } = metered(1000);
  clock.now = 1000;
  meter.came(100);
  meter.paused = true;
  expect(reports.at(-1)).toMatchObject({ paused: true, bytes_per_second: 0, seconds_left: null });
  clock.now = 60_000;
  meter.paused = false;
  clock.now = 61_000;
  meter.came(100);
  expect(reports.at(-1)).toMatchObject({ paused: false, bytes_per_second: 100 });
});
