"""A dict that is there at the next start; nobody closes it."""

from storify import Storify

storify = Storify(root="data", save_interval=60)
db = storify.get_db("notes", root={"starts": 0, "notes": []})
db["starts"] += 1
db["notes"].append("note {}".format(db["starts"]))
if db["starts"] == 2:
    del db["notes"][0]
storify.tick()

for key in db:
    print(key, db[key])
print(len(db), "notes" in db, storify.db_exists("notes"))
