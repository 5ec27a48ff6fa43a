// The package dist/mar.js in a page that has nothing else: what it tells of tokens, its dials, its state, its troubles.
import { expect, test } from "@playwright/test";
import { BACKENDS, FOLLOW_UP, GREETING, openMar, STORY, watchedReply } from "./mar";

for (const backend of BACKENDS) {
  test.describe(backend, () => {
    test("what is drawn is what the ledger counts, token for token", async ({ page }) => {
      await openMar(page, backend);
      const plain = await page.evaluate(([ask]) => window.mar.generate([ask], { temperature: 0, max_tokens: 24 }), [
        GREETING,
      ] as const);
      const site = { layer: 1, site: "down" } as const;
      const first = await watchedReply(page, GREETING, site);
      expect(first.reply.tokens).toEqual(plain.tokens);
      // The neuron that fired most is looked at closely.
      const { trains, steps, neurons } = first;
      const fired = Array.from({ length: neurons }, (_, neuron) =>
        trains.reduce(
          (sum, train) => sum + count(train.slice(neuron * steps, (neuron + 1) * steps), (s) => s !== 0),
          0,
        ),
      );
      const neuron = fired.indexOf(Math.max(...fired));
      const { reply, events, membranes, ...seen } = await watchedReply(page, GREETING, { ...site, neuron });
      expect(reply.tokens).toEqual(plain.tokens);
      expect(events.map((event) => event.token)).toEqual(reply.tokens);
      expect(events.map((event) => event.position)).toEqual(reply.tokens.map((_, i) => reply.stats.prompt_tokens + i));
      expect(seen.trains.length).toBe(events.length);
      let drawn = 0;
      for (const [i, event] of events.entries()) {
        const train = seen.trains[i] ?? [];
        const rows = Array.from({ length: neurons }, (_, j) => train.slice(j * steps, (j + 1) * steps));
        expect(count(train, (s) => s === 1)).toBe(event.spikes_positive[1 * 4 + 3]);
        expect(count(train, (s) => s === -1)).toBe(event.spikes_negative[1 * 4 + 3]);
        expect(count(rows, (row) => row.some((s) => s !== 0))).toBe(event.active[1 * 4 + 3]);
        drawn += sum(event.spikes_positive) + sum(event.spikes_negative);
        const membrane = membranes[i];
        expect(membrane?.spikes).toEqual(rows[neuron]);
        // It fires where |h| has come to the threshold, and nowhere else.
        const threshold = membrane?.threshold ?? Number.NaN;
        expect(membrane?.h.map((h) => (Math.abs(h) >= threshold * (1 - 1e-6) ? Math.sign(h) : 0))).toEqual(
          rows[neuron],
        );
      }
      expect(drawn).toBe(reply.ledger.reply.spikes);
      expect(Math.max(...fired)).toBeGreaterThan(0);
    });

    test("the energies add up", async ({ page }) => {
      await openMar(page, backend);
      const { reply, events } = await watchedReply(page, GREETING, null);
      const heads: number[] = [];
      for (const { energy, joules_arithmetic, joules_with_data, ac } of events) {
        for (const [network, terms] of [
          ["spiking", energy.terms],
          ["dense", energy.dense_terms],
          ["transformer", energy.transformer_terms],
        ] as const) {
          const joules = (term: (typeof terms)[number]): number => term.count * term.picojoules_each * 1e-12;
          const arithmetic = terms.filter((term) => ["ac", "mac", "mul"].includes(term.class));
          near(sum(terms.map(joules)), energy.with_data[network]);
          near(sum(arithmetic.map(joules)), energy.arithmetic[network]);
        }
        expect(sum(ac)).toBe(energy.terms.find((term) => term.class === "ac")?.count);
        expect(sum(joules_with_data)).toBeLessThan(energy.with_data.spiking);
        heads.push(energy.arithmetic.spiking - sum(joules_arithmetic));
      }
      // What the sites do not cost is the head, which costs every token the same.
      expect(Math.min(...heads)).toBeGreaterThan(0);
      near(Math.min(...heads), Math.max(...heads));
      const total = sum(events.map((event) => event.energy.arithmetic.spiking));
      near(total, reply.ledger.reply.energy_pj.arithmetic * 1e-12);
      near(total, reply.ledger.energy.arithmetic.spiking);
      near(sum(events.map((e) => e.energy.with_data.transformer)), reply.ledger.energy.with_data.transformer);
    });

    test("muted neurons are silent until they are unmuted", async ({ page }) => {
      await openMar(page, backend);
      const before = await watchedReply(page, GREETING, { layer: 2, site: "gate_up" });
      await page.evaluate(async () => {
        await window.mar.reset();
        await window.mar.set({ muted: [{ layer: 2, site: "gate_up", neurons: [10, 99] }, { layer: 3 }] });
      });
      const { events, trains, steps } = await watchedReply(page, GREETING, { layer: 2, site: "gate_up" });
      const total = (first: number, end: number): number =>
        sum(trains.map((train) => count(train.slice(first * steps, end * steps), (s) => s !== 0)));
      expect(total(10, 100)).toBe(0);
      expect(total(0, 10) + total(100, 256)).toBeGreaterThan(0);
      for (const event of events) expect(sum(event.active.slice(12))).toBe(0);
      expect(sum(events.map((event) => sum(event.active.slice(0, 4))))).toBeGreaterThan(0);
      await page.evaluate(async () => {
        await window.mar.reset();
        await window.mar.set({});
      });
      const after = await watchedReply(page, GREETING, null);
      expect(after.reply.tokens).toEqual(before.reply.tokens);
      expect(after.reply.ledger.reply.spikes).toBe(before.reply.ledger.reply.spikes);
    });

    test("the dial trades spikes for loss, and acts on the next token", async ({ page }) => {
      await openMar(page, backend);
      const trade = await page.evaluate(async (text) => {
        const rows = [];
        for (const controls of [{}, { threshold_scale: 2 }, { steps: 1 }]) {
          await window.mar.set(controls);
          const { nats_per_token, tokens, ledger } = await window.mar.loss(text);
          rows.push({ nats_per_token, tokens, spikes: ledger.spikes, joules: ledger.energy_pj.arithmetic });
        }
        return rows;
      }, STORY.content.repeat(3));
      const [trained, sparse, single] = trade;
      if (!trained || !sparse || !single) throw new Error("three settings");
      for (const turned of [sparse, single]) {
        expect(turned.tokens).toBe(trained.tokens);
        expect(turned.spikes).toBeLessThan(0.8 * trained.spikes);
        expect(turned.joules).toBeLessThan(trained.joules);
        expect(turned.nats_per_token).toBeGreaterThan(trained.nats_per_token);
      }
      // So hot that it does not end by itself before the dial has been heard.
      const options = { temperature: 5, top_p: 1, seed: 1, max_tokens: backend === "cpu" ? 100 : 40 };
      const given = [STORY, options] as const;
      const spikes = await page.evaluate(async ([ask, options]) => {
        const { mar } = window;
        await mar.set({});
        const spikes: number[] = [];
        mar.on("token", ({ spikes_positive, spikes_negative }) => {
          spikes.push([...spikes_positive, ...spikes_negative].reduce((a, b) => a + b));
          if (spikes.length === 2) void mar.set({ threshold_scale: 1e9 });
        });
        await mar.generate([ask], options);
        return spikes;
      }, given);
      expect(Math.min(...spikes.slice(0, 2))).toBeGreaterThan(0);
      expect(spikes.at(-1)).toBe(0);
      const refused = page.evaluate(() => window.mar.set({ threshold_scale: -1 }));
      await expect(refused).rejects.toThrow(/threshold scale is -1, but must be above 0/);
      const nowhere = page.evaluate(() => window.mar.watch({ layer: 9, site: "down" }));
      await expect(nowhere).rejects.toThrow(/there is no layer 9; the network has 4/);
    });

    test("a saved conversation goes on in a new engine", async ({ page }) => {
      await openMar(page, backend);
      const { first, second, again, damaged } = await page.evaluate(
        async ([ask, next, backend]) => {
          const options = { temperature: 0, max_tokens: 40 };
          const first = await window.mar.generate([ask], options);
          const bytes = await window.mar.state.save();
          const chat = [ask, { role: "assistant", content: first.text } as const, next];
          const second = await window.mar.generate(chat, options);
          const other = await window.Mar.load("models/mar-smalltalk/", { backend });
          await other.state.load(bytes);
          const again = await other.generate(chat, options);
          bytes[20] = (bytes[20] ?? 0) ^ 1;
          const damaged = await other.state.load(bytes).then(String, (error: Error) => error.message);
          other.dispose();
          return { first, second, again, damaged };
        },
        [GREETING, FOLLOW_UP, backend] as const,
      );
      expect(again.text).toBe(second.text);
      expect(again.tokens).toEqual(second.tokens);
      expect(again.stats.reused_tokens).toBe(second.stats.reused_tokens);
      expect(again.stats.reused_tokens).toBeGreaterThan(first.stats.prompt_tokens);
      expect(damaged).toBe("the saved state is damaged; start the chat from its text");
    });

    test("a token that is past can be probed, and the conversation goes on", async ({ page }) => {
      await openMar(page, backend);
      const { reply, events, trains } = await watchedReply(page, GREETING, { layer: 3, site: "out_proj" });
      const probed = await page.evaluate(async () => {
        await window.mar.watch(null);
        const last = await window.mar.probe({ layer: 0, site: "in_proj" });
        const position = last.position - 3;
        const past = await window.mar.probe({ layer: 3, site: "out_proj", position });
        return { last: [...last.trains], position: last.position, past: [...past.trains] };
      });
      const last = events.at(-1);
      expect(probed.position).toBe(last?.position);
      expect(probed.past).toEqual(trains.at(-4));
      expect(count(probed.last, (s) => s === 1)).toBe(last?.spikes_positive[0]);
      expect(count(probed.last, (s) => s === -1)).toBe(last?.spikes_negative[0]);
      const missing = page.evaluate(() => window.mar.probe({ layer: 0, site: "in_proj", position: 9999 }));
      await expect(missing).rejects.toThrow(/there is no token at 9999/);
      expect((await watchedReply(page, GREETING, null)).reply.tokens).toEqual(reply.tokens);
    });
  });
}

test("watching a site does not slow decoding much", async ({ page }) => {
  await openMar(page, "cpu");
  const ratios = await page.evaluate(async (ask) => {
    const { mar } = window;
    const speed = async (watch: Parameters<typeof mar.watch>[0]): Promise<number> => {
      await mar.watch(watch);
      const { stats } = await mar.generate([ask], { temperature: 5, top_p: 1, seed: 1, max_tokens: 150 });
      return stats.decode_tokens_per_second;
    };
    await speed(null);
    const ratios: number[] = [];
    // In turns, because the machine's speed drifts.
    for (let round = 0; round < 9; round += 1) {
      const plain = await speed(null);
      ratios.push((await speed({ layer: 1, site: "down", neuron: 5 })) / plain);
    }
    return ratios.sort((a, b) => a - b);
  }, STORY);
  const median = ratios[4] ?? 0;
  console.log(`decoding while a site is watched: ${median.toFixed(2)} of the speed (median of ${ratios.length})`);
  // BENCHMARKS.md has the figure; on a machine that others use, only a fault shows here.
  expect(median).toBeGreaterThan(0.6);
});

function sum(numbers: Iterable<number>): number {
  return [...numbers].reduce((a, b) => a + b, 0);
}

function count<T>(all: readonly T[], which: (one: T) => boolean): number {
  return all.filter(which).length;
}

/** Equal but for the order of adding. */
function near(found: number, right: number): void {
  expect(Math.abs(found / right - 1)).toBeLessThan(1e-9);
}
