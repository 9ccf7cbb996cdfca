/** Lets a reader choose whose counterfactuals the arrows of a latent space lead to. */

/** Show the arrows of one explainer, and say how they end. */
const show = (figure, journeys, chosen) => {
  for (const journey of journeys) {
    if (journey === chosen) journey.removeAttribute("display");
    else journey.setAttribute("display", "none");
  }
  figure.querySelector(".shown").textContent = chosen.dataset.note;
};

/** One radio button with the name of an explainer. */
const option = (group, journey, checked, choose) => {
  const label = document.createElement("label");
  const button = document.createElement("input");
  const name = document.createElement("span");
  Object.assign(button, { type: "radio", name: group, checked });
  button.addEventListener("change", choose);
  name.textContent = journey.dataset.explainer;
  name.dir = "auto";
  label.append(button, name);
  return label;
};

for (const [number, figure] of document.querySelectorAll(".latents").entries()) {
  const journeys = [...figure.querySelectorAll(".journey")];
  if (journeys.length > 1) {
    const choice = document.createElement("fieldset");
    const legend = document.createElement("legend");
    choice.className = "choice";
    legend.textContent = "Counterfactuals of";
    choice.append(legend);
    for (const [index, journey] of journeys.entries()) {
      choice.append(
        option(`journey-${number}`, journey, index === 0, () => show(figure, journeys, journey)),
      );
    }
    figure.querySelector("svg").after(choice);
  }
}
