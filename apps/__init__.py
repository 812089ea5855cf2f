"""The commands of `keras-dd`, one a file.  They import TensorFlow only when they run."""
