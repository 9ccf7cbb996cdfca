"""The phantom: procedural chest radiographs with known disease and true counterfactuals."""
