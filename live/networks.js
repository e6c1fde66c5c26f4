/**
 * What the lab offers: the shipped restoration networks and what a reader has to know of each.
 *
 * The idea that holds this file together: the page must stand before any weights have come. A test compares size, T and
 * channels with the files.
 *
 * kind: "digit" (drawn) or "photograph" (cut from a picture). box: the longer side, in pixels, of the digits that the
 * network knows. eyes: the classifier that reads what comes back. classes: what it knows, where these are not 0 to 9.
 */

const THINGS = ["aeroplane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "lorry"];

export const NETWORKS = {
  "mnist-blur": { title: "A digit, blurred", kind: "digit", size: 32, channels: 1, T: 20, box: 160 / 7, eyes: "mnist" },
  "mnist-pixelate": {
    title: "A digit, in coarse pixels",
    kind: "digit",
    size: 32,
    channels: 1,
    T: 3,
    box: 160 / 7,
    eyes: "mnist",
  },
  "mnist-mask": {
    title: "A digit with a hole",
    kind: "digit",
    size: 32,
    channels: 1,
    T: 50,
    box: 160 / 7,
    eyes: "mnist",
  },
  "digits-blur": {
    title: "A digit, blurred, for the small network of the chapters",
    kind: "digit",
    size: 32,
    channels: 1,
    T: 20,
    box: 24,
    eyes: "digits",
  },
  "cifar10-blur": {
    title: "A photograph, blurred (32 pixels wide)",
    kind: "photograph",
    size: 32,
    channels: 3,
    T: 50,
    eyes: "cifar10",
    classes: THINGS,
  },
  "cifar10-mask": {
    title: "A photograph with a hole (32 pixels wide)",
    kind: "photograph",
    size: 32,
    channels: 3,
    T: 50,
    eyes: "cifar10",
    classes: THINGS,
  },
  "celeba-64-blur": { title: "A face, blurred (64 pixels wide)", kind: "photograph", size: 64, channels: 3, T: 110 },
};

export const hasHole = (name) => name.endsWith("-mask");
export const CALLS = 20; // of the network, unless the reader chooses otherwise
