import { expect, test } from "vitest";
import { Camera, type World } from "./camera";

function cameraOf(world: World): Camera {
  const camera = new Camera(
    () => world,
    () => false,
  );
  camera.resize(100);
  camera.update();
  camera.arrive();
  return camera;
}

test("a short tape begins at the left, a long one ends at the right", () => {
  const world = { columns: { start: 0, length: 40 }, neurons: 10 };
  const camera = cameraOf(world);
  expect(camera.view).toEqual({ columns: { start: 0, length: 100 }, rows: { start: 0, length: 10 } });
  world.columns = { start: 0, length: 250 };
  camera.update();
  expect(camera.goal.columns).toEqual({ start: 150, length: 100 });
  expect(camera.view.columns).toEqual({ start: 0, length: 100 });
});

test("it glides to the newest token and gets there", () => {
  const world = { columns: { start: 0, length: 100 }, neurons: 10 };
  const camera = cameraOf(world);
  world.columns = { start: 0, length: 116 };
  camera.update();
  let frames = 0;
  let before = 0;
  while (camera.step(16, 100, 100)) {
    expect(camera.view.columns.start).toBeGreaterThan(before);
    before = camera.view.columns.start;
    frames++;
  }
  expect(camera.view).toBe(camera.goal);
  expect(frames).toBeGreaterThan(5);
  expect(frames).toBeLessThan(60);
});

test("whoever looks at something is left alone", () => {
  const world = { columns: { start: 0, length: 300 }, neurons: 10 };
  const camera = cameraOf(world);
  camera.centre(120);
  camera.arrive();
  world.columns = { start: 0, length: 400 };
  camera.update();
  expect(camera.goal.columns).toEqual({ start: 70, length: 100 });
  camera.follow();
  expect(camera.goal.columns).toEqual({ start: 300, length: 100 });
});

test("zooming holds the place, or the newest token while that is followed", () => {
  const camera = cameraOf({ columns: { start: 0, length: 300 }, neurons: 100 });
  camera.zoom(0.5, 0.5, { column: 210, neuron: 50 });
  expect(camera.goal).toEqual({ columns: { start: 250, length: 50 }, rows: { start: 25, length: 50 } });
  camera.whole();
  camera.centre(150);
  camera.zoom(0.5, 1, { column: 150, neuron: 0 });
  expect(camera.goal.columns).toEqual({ start: 125, length: 50 });
});

test("zoomed, it does not follow the width of its place; whole again, it does", () => {
  const camera = cameraOf({ columns: { start: 0, length: 300 }, neurons: 100 });
  camera.zoom(0.5, 1, { column: 210, neuron: 50 });
  camera.resize(200);
  expect(camera.goal.columns.length).toBe(50);
  camera.whole();
  expect(camera.goal.columns).toEqual({ start: 100, length: 200 });
});
