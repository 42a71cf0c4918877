"""How a network learns: the loop, augmentation, distillation, several processes. Not what is made of it afterwards."""
