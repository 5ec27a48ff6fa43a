// The picture at the top of README, which is also what others see who get a link to the page: node bench/preview.mjs URL FILE
// `cargo xtask preview` serves the page for it. Nothing in it is drawn by hand: it is the page after a chat.
import { chromium } from "@playwright/test";

const [url, file] = process.argv.slice(2);

/** What previews are: 1.91 to 1. */
const SIZE = { width: 1440, height: 756 };

/** Enough of them to fill the raster. The answers are greedy, so they are the same every time. */
const QUESTIONS = [
  "Tell me about yourself.",
  "What do you like to do on a rainy day?",
  "What do you like to eat?",
  "I have a cat named Luna.",
  "Hello! How are you today?",
];

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync"],
});
try {
  // 2,400 by 1,260 pixels: sharp where it is shown large.
  const page = await browser.newPage({ viewport: SIZE, deviceScaleFactor: 2400 / SIZE.width, colorScheme: "dark" });
  // Room for the instruments in two columns.
  await page.addInitScript(() => localStorage.setItem("mar:layout", JSON.stringify({ width: 63, panels: {} })));
  await page.goto(`${url}/?backend=cpu`);
  await page.getByText("mar-smalltalk is ready.").waitFor();
  await page.getByTestId("settings").click();
  await page.getByLabel("Temperature").fill("0");
  await page.getByRole("button", { name: "Done" }).click();
  for (const question of QUESTIONS) {
    const answered = page.evaluate(
      () => new Promise((resolve) => document.addEventListener("mar:reply", () => resolve(), { once: true })),
    );
    await page.getByTestId("prompt").fill(question);
    await page.keyboard.press("Enter");
    await answered;
    await page.getByTestId("send").waitFor();
  }
  // Quality is measured when nobody waits, and the pictures glide.
  await page.getByTestId("dial-nats").getByText(/\d/).waitFor();
  await page.getByTestId("raster").hover({ position: { x: 4, y: 4 } });
  await page.waitForTimeout(1000);
  await page.screenshot({ path: file });
} finally {
  await browser.close();
}
