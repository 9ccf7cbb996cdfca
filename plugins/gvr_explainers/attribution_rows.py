"""Rows of the attribution maps, by family, with what they need, cost and come from."""

from typing import Any

from gvr_bench.api import Plugin


def row(name: str, target: str, summary: str, **more: Any) -> Plugin:
    """Return the row of an explainer of this package, by default one of `all`."""
    more = {"selection": "all"} | more
    target = f"gvr_explainers.{target}"
    return Plugin(1, "explainer", name, target, summary, **more)


_GRADIENT: dict[str, Any] = {"family": "gradient", "access": "gradient"}
_LAYERS: dict[str, Any] = {"family": "propagation", "access": "gradient, all layers"}
_MASKING: dict[str, Any] = {"family": "perturbation", "access": "outputs"}
_CAM: dict[str, Any] = {"family": "cam", "access": "gradient, one layer"}
_ONE = "1 forward, 1 backward"

ATTRIBUTION = (
    row("saliency", "saliency:Saliency", "gradient of the output by the pixels",
         aliases=("vanilla-gradient", "grad"), selection="default", passes=_ONE,
         source="Simonyan et al. 2013, arXiv 1312.6034", **_GRADIENT),
    row("input-x-gradient", "gradients:InputXGradient", "gradient times pixel",
         aliases=("ixg", "gradient-x-input"), passes=_ONE, needs=("captum",),
         source="Shrikumar et al. 2016, arXiv 1605.01713", **_GRADIENT),
    row("smoothgrad", "gradients:SmoothGrad", "mean gradient over noisy copies of the image",
         aliases=("sg",), needs=("captum",),
         passes="{samples} forward, {samples} backward",
         source="Smilkov et al. 2017, arXiv 1706.03825", **_GRADIENT),
    row("vargrad", "gradients:VarGrad", "variance of the gradient over noisy copies of the image",
         needs=("captum",), passes="{samples} forward, {samples} backward",
         source="Adebayo et al. 2018, arXiv 1810.03292", **_GRADIENT),
    row("integrated-gradients", "integrated_gradients:IntegratedGradients",
         "gradient integrated from an empty image to this one",
         aliases=("ig",), selection="default", needs=("captum",),
         passes="{steps} forward, {steps} backward",
         source="Sundararajan et al. 2017, arXiv 1703.01365", **_GRADIENT),
    row("expected-gradients", "gradients:ExpectedGradients",
         "gradient integrated from training images to this one, on average",
         aliases=("gradient-shap", "eg"), needs=("captum",),
         passes="{samples} forward, {samples} backward", family="gradient",
         access="gradient, training images", source="Erion et al. 2021, arXiv 1906.10670"),
    row("pattern", "pattern:Pattern", "what varies with the output in similar training images",
         aliases=("pattern-local", "haufe"), selection="default", passes=_ONE, family="gradient",
         access="gradient, training images",
         source="Gjølbye et al. 2025, arXiv 2505.11210; Haufe et al. 2014"),
    row("deep-lift", "deep_lift:DeepLift", "the output's change from an empty image, by layer",
         passes="2 forward, 2 backward", selection="default",
         source="Shrikumar et al. 2017, arXiv 1704.02685", **_LAYERS),
    row("guided-backprop", "guided_backprop:GuidedBackprop",
         "gradient through layers, without what lowers the output",
         aliases=("guided-backpropagation", "gbp"), passes=_ONE,
         source="Springenberg et al. 2014, arXiv 1412.6806", **_LAYERS),
    row("lrp", "lrp:Lrp", "relevance shared out layer by layer",
         aliases=("layer-wise-relevance-propagation",), selection="default", passes=_ONE,
         source="Bach et al. 2015; Montavon et al. 2019", **_LAYERS),
    row("occlusion", "occlusion:Occlusion", "fall of the output under a sliding grey square",
         aliases=("sliding-window",), selection="default", passes="1 forward, and 1 per window",
         source="Zeiler and Fergus 2013, arXiv 1311.2901", **_MASKING),
    row("feature-ablation", "pieces:FeatureAblation",
         "fall of the output without a superpixel, each alone", needs=("captum", "skimage"),
         aliases=("ablation",), passes="1 forward, and 1 per superpixel",
         source="Kokhlikyan et al. 2020, arXiv 2009.07896", **_MASKING),
    row("lime", "lime:Lime", "linear model of the output by superpixels, fitted around the image",
         selection="default", needs=("skimage",), passes="{samples} forward",
         source="Ribeiro et al. 2016, arXiv 1602.04938", **_MASKING),
    row("kernel-shap", "pieces:KernelShap", "Shapley values of superpixels",
         aliases=("shap",), needs=("captum", "skimage"), passes="{samples} forward",
         source="Lundberg and Lee 2017, arXiv 1705.07874", **_MASKING),
    row("rise", "rise:Rise", "mean output over random masks that show a pixel",
         passes="{samples} forward", source="Petsiuk et al. 2018, arXiv 1806.07421", **_MASKING),
    row("grad-cam", "cam:GradCam", "Grad-CAM: where the last spatial map speaks for the output",
         aliases=("cam",), selection="default", passes=_ONE,
         source="Selvaraju et al. 2017, arXiv 1610.02391", **_CAM),
    row("grad-cam-plus-plus", "cam:GradCamPlusPlus",
         "Grad-CAM that counts channels by where their gradient is positive", passes=_ONE,
         source="Chattopadhay et al. 2018, arXiv 1710.11063", **_CAM),
    row("hires-cam", "cam:HiResCam", "gradient times map at every pixel of the last spatial map",
         passes=_ONE, source="Draelos and Carin 2020, arXiv 2011.08891", **_CAM),
    row("layer-cam", "cam:LayerCam", "positive gradient times map at every pixel of a layer",
         passes=_ONE,
         source="Jiang et al. 2021, doi 10.1109/TIP.2021.3089943", **_CAM),
    row("score-cam", "score_cam:ScoreCam", "channels by the output for what they mark",
         passes="1 forward, and 1 per channel", family="cam", access="outputs, one layer",
         source="Wang et al. 2020, arXiv 1910.01279"),
    row("eigen-cam", "eigen_cam:EigenCam", "first principal component of the last spatial map",
         passes="1 forward", family="cam", access="one layer",
         source="Muhammad and Yeasin 2020, arXiv 2008.00299"),
    row("counterfactual-cam", "cam:CounterfactualCam",
         "Grad-CAM of the negated output: where the last map speaks against it", passes=_ONE,
         source="Selvaraju et al. 2017, arXiv 1610.02391", **_CAM),
    row("captum", "any_captum:AnyCaptum", "a method of captum by its class, as captum:DeepLift",
         selection="name", needs=("captum", "skimage"), access="as the method"),
)  # fmt: skip
