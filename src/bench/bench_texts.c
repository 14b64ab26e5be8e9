/* bench_texts: a few dozen plain English sentences on many subjects, of three to forty words, so that
 * latency and accuracy can be measured without a corpus. Written for this program. */
#include "bench.h"

#define S(words)                                                                                   \
    {                                                                                              \
        .text = (words), .bytes = sizeof(words) - 1                                                \
    }

static const vecmill_doc sentences[] = {
    S("It is raining again."),
    S("The train to the coast leaves at half past six."),
    S("She mended the old clock with a hairpin and a drop of oil."),
    S("Our bakery sells rye bread on Tuesdays only."),
    S("A heron stood in the shallows and did not move for an hour."),
    S("The committee will vote on the new budget after lunch."),
    S("How do I change the password of my account?"),
    S("Steam engines turned heat into motion long before anyone could say what heat was."),
    S("The goalkeeper dived to his left and pushed the ball around the post."),
    S("Cells copy their genes before they divide, and correct most of the errors they make."),
    S("Two brothers inherited the farm and quarrelled about the well for thirty years."),
    S("The bridge was closed because its cables had begun to rust."),
    S("Interest rates rose by a quarter of a percent this month."),
    S("Please return the key to the front desk before you leave."),
    S("Volcanic ash makes poor roads and rich soil."),
    S("The violinist tuned her instrument while the audience found its seats."),
    S("A program that waits for ever is harder to explain than one that fails."),
    S("Glaciers carve valleys whose floors are flat and whose walls are steep."),
    S("The soup needs salt."),
    S("Ships from the north brought timber, tar and furs, and took home wine and cloth."),
    S("The patient was given the second dose four weeks after the first."),
    S("Nobody on the island had seen snow, and the children ran out to touch it."),
    S("The court held that the contract had never been valid."),
    S("An aircraft's wing bends upward in flight by more than a metre."),
    S("Turn left at the church, cross the river, and look for a green door."),
    S("The price of copper follows the price of electricity with a delay of some months."),
    S("He learned to read from the labels of jars in his grandmother's kitchen."),
    S("Bees tell each other the direction and the distance of flowers by dancing."),
    S("The museum keeps its oldest maps in the dark."),
    S("If the pump fails, close the upper valve first and then call the engineer on duty."),
    S("Stars that look single to the eye are often two that turn about each other."),
    S("The novel begins with a wedding and ends with a flood."),
    S("Wheat was sown in autumn and cut in the heat of July."),
    S("My phone does not charge any more."),
    S("The two languages share many words and hardly any grammar."),
    S("A good knife is sharpened a little every week rather than a lot once a year."),
    S("The storm took the roof of the station and left the flower pots standing."),
    S("Parliament was dissolved in the spring, and elections were held in the first week of June."),
    S("Electrons in a metal move freely, which is why it conducts both current and heat."),
    S("The dog slept under the table and the cat on top of it."),
    S("Refunds are paid within ten days to the card that was used for the purchase."),
    S("At the edge of the desert the road simply stops, and from there on one follows the tracks "
      "of "
      "those who went before, which the wind covers by the evening."),
    S("The choir sang without a conductor and without a mistake."),
    S("Salt lowers the point at which water freezes, so roads are salted before a cold night."),
    S("The detective noticed that the dust on the third shelf had been disturbed."),
    S("Children under six travel free of charge."),
    S("Coral reefs cover very little of the sea's floor and shelter a quarter of its fish."),
    S("The old telescope was sold to a school, where it has shown the rings of Saturn to more than "
      "a "
      "thousand pupils in winter evenings since, most of whom said that they had not believed in "
      "them "
      "until then."),
};

const vecmill_doc *bench_texts(size_t *n)
{
    *n = sizeof(sentences) / sizeof(sentences[0]);
    return sentences;
}
