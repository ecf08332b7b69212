"""Linear models with scikit-learn's habits, and the nets of logic that perceptrons make."""
