/**
 * What the lab offers: the shipped restoration networks and what a reader has to know of each.
 *
 * The idea that holds this file together: the page must stand before any weights have come. A test compares size, T,
 * channels and the classes to ask for with the files.
 *
 * kind: "digit" (drawn) or "photograph" (cut from a picture). box: the longer side, in pixels, of the digits that the
 * network knows. eyes: the classifier that reads what comes back. classes: what it knows, where these are not 0 to 9.
 * asks: how many classes the network can be asked for. made: whether there is a mixture to draw new ones from. files:
 * whether it has met none but pictures of 8 bits, so that it is given and told of such.
 * hole: whether the reader may put the hole elsewhere, and the lab has to find it.
 */

const THINGS = ["aeroplane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "lorry"];
const MNIST = { kind: "digit", size: 32, channels: 1, box: 160 / 7, eyes: "mnist" };
const CIFAR = { kind: "photograph", size: 32, channels: 3, T: 50, eyes: "cifar10", classes: THINGS };
const FACES = { kind: "photograph", size: 64, channels: 3 };

export const NETWORKS = {
  "mnist-blur": { ...MNIST, title: "Digits: blurred", T: 20, made: true },
  "mnist-blur-classes": { ...MNIST, title: "Digits: blurred, and you may say which", T: 20, made: true, asks: 10 },
  "mnist-pixelate": { ...MNIST, title: "Digits: in coarse pixels", T: 3 },
  "mnist-mask": { ...MNIST, title: "Digits: with a hole", T: 50, files: true, hole: true },
  "digits-blur": {
    ...MNIST,
    title: "Digits: blurred, the small network of the chapters",
    T: 20,
    box: 24,
    eyes: "digits",
    made: true,
  },
  "cifar10-blur": { ...CIFAR, title: "Photographs: blurred (32 pixels wide)" },
  "cifar10-pixelate": { ...CIFAR, title: "Photographs: in coarse pixels (32 pixels wide)", T: 3 },
  "cifar10-mask": { ...CIFAR, title: "Photographs: with a hole (32 pixels wide)", files: true, hole: true },
  "celeba-64-blur": { ...FACES, title: "Faces: blurred (64 pixels wide)", T: 110 },
  "celeba-64-pixelate": { ...FACES, title: "Faces: in coarse pixels (64 pixels wide)", T: 3 },
  "celeba-64-mask": { ...FACES, title: "Faces: behind a disc (64 pixels wide)", T: 100, files: true },
};

export const CALLS = 20; // of the network, unless the reader chooses otherwise
