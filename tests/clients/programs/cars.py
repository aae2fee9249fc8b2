"""Classes with annotations, whose attributes are set later."""

from storify import Storify
from storify.model import Model


class Car(Model):
    """A car; each annotation has a default, so that ``Car()`` works as it did."""

    name: str = ""
    color: str = ""
    year: int = 2024


class Garage(Model):
    """A class that has an ``__init__`` of its own keeps it."""

    name: str
    cars: list

    def __init__(self):
        self.cars = []


storify = Storify(root="data", models=[Car, Garage])
db = storify.get_db("garages")
if "home" not in db:
    garage = Garage()
    garage.name = "Home"
    db["home"] = garage
car = Car()
car.name = f"Car {len(db['home'].cars)}"
db["home"].cars.append(car)
db.flush()

for car in db["home"].cars:
    print(db["home"].name, car.name, repr(car.color), car.year)
