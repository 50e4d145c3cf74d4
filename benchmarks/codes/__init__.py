"""Hash layers trained for codes that differ within a class, on the features of the committed encoders."""
