import { expect, test } from "vitest";
import type { Mute } from "../../mar/types";
import { covers, inWords, withMute } from "./mutes";

const some: Mute = { layer: 1, site: "down", neurons: [3, 9] };
const site: Mute = { layer: 1, site: "down" };
const layer: Mute = { layer: 1 };

test("mutes in words", () => {
  expect(inWords(some)).toBe("layer 1, down, neurons 3 to 9");
  expect(inWords({ site: "down", neurons: [4, 4] })).toBe("all layers, down, neuron 4");
});

test("a layer covers its sites, a site its neurons, and no other way round", () => {
  expect([covers(layer, site), covers(site, some), covers(layer, some)]).toEqual([true, true, true]);
  expect([covers(site, layer), covers(some, site), covers(site, { layer: 2, site: "down" })]).toEqual([
    false,
    false,
    false,
  ]);
  expect(covers(some, { ...some, neurons: [4, 9] })).toBe(true);
  expect(covers(some, { ...some, neurons: [4, 10] })).toBe(false);
});

test("a wider mute takes the place of those in it", () => {
  expect(withMute([some, { layer: 2 }], site)).toEqual([{ layer: 2 }, site]);
  expect(withMute([layer], some)).toEqual([layer]);
});
