"""What the baselines of the challenge reach on shares of TAU Urban Acoustic Scenes 2022 Mobile.

Accuracy in percent, the mean over the scenes, on the test split of the development set, by the share that was trained
on: from the pages of DCASE 2024 task 1 and DCASE 2025 task 1.
"""

CORPUS = "TAU 2022"
PUBLISHED: dict[str, dict[int, float]] = {
    "baseline of 2024": {5: 42.40, 10: 45.29, 25: 50.29, 50: 53.19, 100: 56.99},
    "baseline of 2025": {25: 50.72},
    "baseline of 2025, tuned for known devices": {25: 51.89},
}
