/-
The lemma of chapter 5 and the paper's claim in Lean 4, with nothing but its core: no Mathlib.

An image is a function from pixels to whole numbers. `D s x` is the image x at severity s, and `p s` is what R answered
at severity s. Nothing is asked of R: p may be any images at all. To check it: lean Telescope.lean

No Lean was at hand when this was written, so no Lean has checked it yet.
-/

namespace Coldlab

/-- f 0 + f 1 + ... + f (n - 1) -/
def total (f : Nat → Int) : Nat → Int
  | 0 => 0
  | n + 1 => total f n + f n

/-- The telescoping sum: all but the two ends is added once and subtracted once. -/
theorem telescope (a : Nat → Int) (n : Nat) :
    total (fun s => a (s + 1) - a s) n = a n - a 0 := by
  induction n with
  | zero =>
    show (0 : Int) = a 0 - a 0
    omega
  | succ n ih =>
    show total (fun s => a (s + 1) - a s) n + (a (n + 1) - a n) = a (n + 1) - a 0
    omega

/-- Algorithm 2 from severity T down to 0; the step to s is x - D (s + 1) p + D s p. -/
def algorithm2 {P : Type} (D : Nat → (P → Int) → P → Int) (p : Nat → P → Int) :
    Nat → (P → Int) → P → Int
  | 0, x => x
  | s + 1, x =>
    algorithm2 D p s (fun j => x j - D (s + 1) (p (s + 1)) j + D s (p (s + 1)) j)

/-- Algorithm 2 takes away the increments of the predictions, and does nothing else. -/
theorem algorithm2_ends {P : Type} (D : Nat → (P → Int) → P → Int) (p : Nat → P → Int)
    (i : P) (T : Nat) (x : P → Int) :
    algorithm2 D p T x i
      = x i - total (fun s => D (s + 1) (p (s + 1)) i - D s (p (s + 1)) i) T := by
  induction T generalizing x with
  | zero =>
    show x i = x i - 0
    omega
  | succ t ih =>
    have h : algorithm2 D p t
          (fun j => x j - D (t + 1) (p (t + 1)) j + D t (p (t + 1)) j) i
        = x i - D (t + 1) (p (t + 1)) i + D t (p (t + 1)) i
          - total (fun s => D (s + 1) (p (s + 1)) i - D s (p (s + 1)) i) t := ih _
    show algorithm2 D p t
          (fun j => x j - D (t + 1) (p (t + 1)) j + D t (p (t + 1)) j) i
        = x i - (total (fun s => D (s + 1) (p (s + 1)) i - D s (p (s + 1)) i) t
          + (D (t + 1) (p (t + 1)) i - D t (p (t + 1)) i))
    omega

/-- The lemma: where Algorithm 2 ends, started at D T x0 + n. -/
theorem where_it_ends {P : Type} (D : Nat → (P → Int) → P → Int) (p : Nat → P → Int)
    (x0 n : P → Int) (i : P) (T : Nat) (h0 : D 0 x0 i = x0 i) :
    algorithm2 D p T (fun j => D T x0 j + n j) i
      = x0 i + n i
        + total (fun s => D (s + 1) x0 i - D s x0 i) T
        - total (fun s => D (s + 1) (p (s + 1)) i - D s (p (s + 1)) i) T := by
  have h1 : algorithm2 D p T (fun j => D T x0 j + n j) i
      = D T x0 i + n i
        - total (fun s => D (s + 1) (p (s + 1)) i - D s (p (s + 1)) i) T :=
    algorithm2_ends D p i T _
  have h2 : total (fun s => D (s + 1) x0 i - D s x0 i) T = D T x0 i - D 0 x0 i :=
    telescope (fun s => D s x0 i) T
  omega

/-- The paper's claim: where all images move alike, D s x = x + c s, R does not matter. -/
theorem whatever_R_says {P : Type} (D : Nat → (P → Int) → P → Int) (p : Nat → P → Int)
    (c : Nat → P → Int) (x0 : P → Int) (i : P) (T : Nat)
    (alike : ∀ (s : Nat) (x : P → Int), D s x i = x i + c s i) (h0 : c 0 i = 0) :
    algorithm2 D p T (D T x0) i = x0 i := by
  have h1 : algorithm2 D p T (D T x0) i
      = D T x0 i - total (fun s => D (s + 1) (p (s + 1)) i - D s (p (s + 1)) i) T :=
    algorithm2_ends D p i T (D T x0)
  have same : (fun s => D (s + 1) (p (s + 1)) i - D s (p (s + 1)) i)
      = (fun s => c (s + 1) i - c s i) := by
    funext s
    show D (s + 1) (p (s + 1)) i - D s (p (s + 1)) i = c (s + 1) i - c s i
    have h2 := alike (s + 1) (p (s + 1))
    have h3 := alike s (p (s + 1))
    omega
  have h4 : total (fun s => c (s + 1) i - c s i) T = c T i - c 0 i :=
    telescope (fun s => c s i) T
  have h5 : total (fun s => D (s + 1) (p (s + 1)) i - D s (p (s + 1)) i) T
      = total (fun s => c (s + 1) i - c s i) T :=
    congrArg (fun f => total f T) same
  have h6 := alike T x0
  omega

end Coldlab
