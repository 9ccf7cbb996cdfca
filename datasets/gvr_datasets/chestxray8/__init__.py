"""NIH ChestX-ray8: frontal chest radiographs with eight findings (Wang et al., CVPR 2017)."""
